"""`cryospin downsample`: a particle stack on fewer pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.threads import configure_threads


def downsample(
    particles: Annotated[Path, Argument(help="A .star, .cs or .txt of particles.")],
    out: Annotated[Path, Option(help="Folder to write a stack and particles.star into.")],
    box: Annotated[int, Option(help="Pixels, even, fewer than the images have.")],
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """Fourier-crop particle images: the same field on fewer, larger pixels.

    All columns of the table stay that hold on fewer pixels, and the images they were made from are
    named.
    """
    configure_threads(threads)
    from cryospin.io.formats import read_particles_of_any_kind
    from cryospin.io.smaller_box import dropped
    from cryospin.particles.audit import unread_in_words
    from cryospin.particles.downsample import downsample as write_downsampled

    stack = read_particles_of_any_kind(particles)
    for note in unread_in_words(stack):
        print(f"note: {note}")
    with progress_display() as progress:
        table = write_downsampled(
            stack, box, out, lambda done, total: progress("downsample", done, total)
        )
    if lost := dropped(stack):
        print(f"note: {table.name} leaves out {', '.join(lost)}")
    pixel = stack.pixel_size_angstrom
    print(
        f"{table}: {len(stack)} particles, {stack.box} pixels of {pixel:.4g} Angstrom ->"
        f" {box} of {pixel * stack.box / box:.4g}"
    )
