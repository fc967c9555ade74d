"""`cryospin mask`: a soft mask around what stands out of a map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cryospin.errors import BadDataError, UsageError


def mask(
    density: Annotated[Path, Argument(help="A map (.mrc).", metavar="MAP.mrc")],
    out: Annotated[Path, Option(help="Mask to write (.mrc).")],
    lowpass: Annotated[
        float | None, Option(min=0.1, help="Angstrom, before the threshold; default 15 or more.")
    ] = None,
    dilation: Annotated[
        float | None,
        Option(min=0.0, help="Angstrom added on all sides; default half the low-pass."),
    ] = None,
    edge: Annotated[
        float | None, Option(min=0.0, help="Angstrom of soft edge; default 8, at least 4 voxels.")
    ] = None,
    radius: Annotated[
        float | None, Option(min=0.1, help="Angstrom: make a sphere instead.")
    ] = None,
) -> None:
    """A soft mask in [0, 1]: threshold of the low-passed map, dilated, raised-cosine edge."""
    from cryospin.io.mrc import read_map, write_map
    from cryospin.io.outputs import check_output_file
    from cryospin.volumes.masks import soft_mask, spherical_mask

    if radius is not None and (lowpass is not None or dilation is not None):
        raise UsageError("--radius makes a sphere\n  fix: leave out --lowpass and --dilation")
    check_output_file(out, [density])
    source = read_map(density)
    pixel = source.pixel_size_angstrom
    if radius is not None:
        width = max(8.0, 4 * pixel) if edge is None else edge
        made = spherical_mask(source.box, pixel, radius, width)
    elif not bool((source.values != source.values[0, 0, 0]).any()):
        fix = "give a map of a molecule, or --radius for a sphere"
        raise BadDataError("the map is empty: nothing stands out", file=density, fix=fix)
    else:
        made = soft_mask(source, lowpass, dilation, edge)
    write_map(out, made)
    share = float((made.values > 0.5).double().mean())
    print(f"{out}: {100 * share:.1f} % of the box")
