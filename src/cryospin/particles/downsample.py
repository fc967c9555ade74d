"""Stacks on fewer pixels: what a low resolution needs, at a fraction of the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryospin.errors import UsageError
from cryospin.fourier.resize import resized
from cryospin.io.image_files import image_uid
from cryospin.io.mrc import StackWriter, read_images
from cryospin.io.outputs import Outputs, claimed
from cryospin.io.relion import write_new_particles
from cryospin.parallel import in_image_blocks
from cryospin.types import ParticleStack

_OUTPUTS = Outputs(("particles.star", "particles.mrcs"))


def downsample(
    stack: ParticleStack,
    box: int,
    directory: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Fourier-crop all images to `box` pixels: particles.mrcs and particles.star in `directory`.

    The table is RELION 3.1's, with CTF, poses and half-sets as they were (they do not depend on
    the box), coordinates in pixels of the micrograph, and each image's origin in
    rlnImageOriginalName. Protein is bright in what is written.

    Raises
    ------
    UsageError: an odd box, or one that is not smaller than the images'; a folder that holds the
        table, its images, or another program's files of these names.
    BadDataError: a stack that cannot be read.
    ResourceError: the disk does not take it.
    """
    if box % 2 or not 16 <= box < stack.box:
        raise UsageError(
            f"--box must be even, at least 16 and less than the images' {stack.box}, got {box}"
        )
    with claimed(directory, _OUTPUTS, stack.inputs, needed_bytes=4 * box**2 * len(stack)):
        return _written(stack, box, directory, progress)


def _written(
    stack: ParticleStack, box: int, directory: Path, progress: Callable[[int, int], None]
) -> Path:
    table = directory / "particles.star"
    # the table of an earlier stack must not stand beside a new one
    table.unlink(missing_ok=True)
    scale = stack.box / box

    def cropped(rows: slice) -> np.ndarray:
        index = np.arange(rows.start, rows.stop)
        return resized(read_images(stack, index).numpy(), box, dimensions=2)

    path, done = directory / "particles.mrcs", 0
    with StackWriter(path, box, stack.pixel_size_angstrom * scale, len(stack)) as writer:
        for images in in_image_blocks(cropped, len(stack), stack.box):
            writer.append(images)
            done += len(images)
            progress(done, len(stack))
    write_new_particles(
        table,
        [image_uid(number, path.name) for number in range(len(stack))],
        tuple(
            replace(
                optics,
                pixel_size_angstrom=optics.pixel_size_angstrom * scale,
                # the coordinates count the pixels they did
                micrograph_pixel_size_angstrom=optics.micrograph_pixel_size_angstrom
                or optics.pixel_size_angstrom,
            )
            for optics in stack.optics
        ),
        box,
        stack.optics_group,
        stack.ctf,
        stack.poses,
        None if stack.micrographs is None else [str(name) for name in stack.micrographs],
        stack.coordinates_pixel,
        stack.half_set,
        list(stack.uids),
    )
    return table
