"""`cryospin lowpass`: a map without its detail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cryospin.errors import UsageError


def lowpass(
    density: Annotated[Path, Argument(help="A map (.mrc).", metavar="MAP.mrc")],
    resolution: Annotated[float, Argument(help="Angstrom, where the amplitude is halved.")],
    out: Annotated[Path, Option(help="Map to write (.mrc).")],
) -> None:
    """Low-pass filter a map with a raised cosine in Fourier space."""
    from cryospin.io.mrc import read_map, write_map
    from cryospin.io.outputs import check_output_file
    from cryospin.volumes.masks import low_passed

    check_output_file(out, [density])
    source = read_map(density, pad_to_cube=True)
    finest = 2.0 * source.pixel_size_angstrom
    if not resolution >= finest:
        fix = f"give at least {finest:.2f}, two voxels"
        raise UsageError(f"a resolution of {resolution:g} Angstrom\n  fix: {fix}")
    write_map(out, low_passed(source, resolution))
    print(f"{out}: low-passed to {resolution:g} Angstrom")
