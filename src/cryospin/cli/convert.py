"""`cryospin convert`: a particle table of one program as a table of another."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


class Format(StrEnum):
    relion_30 = "relion-3.0"
    relion_31 = "relion-3.1"
    cryosparc = "cryosparc"
    cryodrgn = "cryodrgn"


def convert(
    particles: Annotated[
        Path, Argument(metavar="IN", help="A .star, .cs, .txt or .mrcs of particles.")
    ],
    out: Annotated[Path, Argument(metavar="OUT", help="A .star, .cs or .txt to write.")],
    to: Annotated[
        Format | None, Option(help="Default: by OUT's name; a .star keeps its dialect.")
    ] = None,
    like: Annotated[
        Path | None, Option(help="Keep the columns of this table; take poses and halves from IN.")
    ] = None,
    passthrough: Annotated[
        list[Path] | None, Option(help="cryoSPARC's passthroughs of IN; those beside it are found.")
    ] = None,
    poses: Annotated[Path | None, Option(help="cryoDRGN's poses.pkl, of IN.")] = None,
    ctf: Annotated[Path | None, Option(help="cryoDRGN's ctf.pkl, of IN.")] = None,
) -> None:
    """Convert between RELION 3.0, RELION 3.1 to 5, cryoSPARC and cryoDRGN.

    Within a format every column is kept bit for bit. Particles are matched by image, never by
    row.
    """
    from cryospin.io.formats import (
        format_of,
        output_format,
        read_particles_of_any_kind,
        with_columns_of,
    )
    from cryospin.io.losses import losses
    from cryospin.io.outputs import check_output_file
    from cryospin.io.table_writer import files_of, write_table

    stack = read_particles_of_any_kind(
        particles, passthroughs=passthrough or (), poses=poses, ctf=ctf
    )
    came_as, inputs = format_of(stack), stack.inputs
    if like is not None:
        original = read_particles_of_any_kind(like)
        inputs += original.inputs
        stack = with_columns_of(original, stack)
    kind = output_format(out, None if to is None else to.value, stack)
    for file in files_of(out, kind):
        check_output_file(file, inputs)
    for note in losses(stack, kind, out):
        print(f"note: {note}")
    like_this = (stack.poses, stack.half_set, stack.classes)
    changed = like_this if like is not None else (None, None, None)
    write_table(out, stack, kind, *changed)
    print(f"{len(stack)} particles: {particles} ({came_as}) -> {out} ({kind})")
