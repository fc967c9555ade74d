"""Stacks on fewer pixels: what a low resolution needs, at a fraction of the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cryospin.errors import UsageError
from cryospin.fourier.resize import resized
from cryospin.io.cryosparc import CryosparcTable
from cryospin.io.cryosparc_table import write_cs
from cryospin.io.mrc import StackWriter, read_images
from cryospin.io.outputs import Outputs, claimed
from cryospin.io.smaller_box import (
    cs_with_smaller_box,
    distinct_images,
    new_stack_name,
    star_with_smaller_box,
)
from cryospin.io.star_writer import write_star
from cryospin.parallel import in_image_blocks
from cryospin.particles.audit import audit_stacks
from cryospin.types import ParticleStack


def downsample(
    stack: ParticleStack,
    box: int,
    directory: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Fourier-crop all images to `box` pixels: a stack and particles.star in `directory`.

    The table is RELION's: the input's own with all that holds on fewer pixels, or a new one of
    what is known of particles from another program's; each image's origin is in
    rlnImageOriginalName. Particles of a `.cs` get particles.cs beside it. An image that stands in
    several rows is written once. Protein is bright in what is written.

    Raises
    ------
    UsageError: an odd box, or one that is not smaller than the images'; a folder that holds the
        table, its images, or another program's files of these names.
    BadDataError: a stack that cannot be read, or another program's pose that is no number;
        nothing is written then, and nothing removed.
    ResourceError: the disk does not take it.
    """
    if box % 2 or not 16 <= box < stack.box:
        raise UsageError(
            f"--box must be even, at least 16 and less than the images' {stack.box}, got {box}"
        )
    audit_stacks(stack)
    first, image = distinct_images(stack)
    path = directory / new_stack_name(stack, box)
    star = star_with_smaller_box(stack, box, path.name, image)
    table, cs = directory / "particles.star", directory / "particles.cs"
    outputs = Outputs((table.name, cs.name, path.name))
    with claimed(directory, outputs, stack.inputs, needed_bytes=4 * box**2 * len(first)):
        # the tables of an earlier stack must not stand beside a new one
        for old in (table, cs):
            old.unlink(missing_ok=True)
        _write_images(path, stack.select(first), box, progress)
        write_star(table, star)
        if isinstance(stack.table, CryosparcTable):
            write_cs(cs, cs_with_smaller_box(stack, box, path.name, image))
    return table


def _write_images(
    path: Path, stack: ParticleStack, box: int, progress: Callable[[int, int], None]
) -> None:
    def cropped(rows: slice) -> np.ndarray:
        index = np.arange(rows.start, rows.stop)
        return resized(read_images(stack, index).numpy(), box, dimensions=2)

    pixel_size, done = stack.pixel_size_angstrom * stack.box / box, 0
    with StackWriter(path, box, pixel_size, len(stack)) as writer:
        for images in in_image_blocks(cropped, len(stack), stack.box):
            writer.append(images)
            done += len(images)
            progress(done, len(stack))
