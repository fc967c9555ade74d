"""`cryospin crop`: a map in another box, or on other voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cryospin.errors import UsageError


def crop(
    density: Annotated[Path, Argument(help="A map (.mrc).", metavar="MAP.mrc")],
    out: Annotated[Path, Option(help="Map to write (.mrc).")],
    box: Annotated[
        int | None, Option(help="Voxels, even; a larger box is filled with zeros.")
    ] = None,
    pixel_size: Annotated[
        float | None, Option(min=0.01, help="Angstrom; resamples the map.")
    ] = None,
) -> None:
    """Cut the middle out of a map, pad it, or resample it; centre stays on centre."""
    from cryospin.io.mrc import read_map, write_map
    from cryospin.io.outputs import check_output_file
    from cryospin.volumes.boxes import cropped
    from cryospin.volumes.resample import resample

    if box is None and pixel_size is None:
        raise UsageError("nothing to do\n  fix: give --box, --pixel-size or both")
    check_output_file(out, [density])
    source = read_map(density, pad_to_cube=True)
    if pixel_size is not None:
        field = source.box * source.pixel_size_angstrom
        size = max(4, 2 * round(0.5 * field / pixel_size))
        source = resample(source, size, pixel_size)
    if box is not None:
        source = cropped(source, box)
    write_map(out, source)
    print(f"{out}: {source.box} voxels of {source.pixel_size_angstrom:.4g} Angstrom")
