"""MRC maps and image stacks: lazy reading, streaming writing. The header is in mrc_header."""

from __future__ import annotations

from contextlib import ExitStack
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.errors import BadDataError
from cryospin.io.atomic import atomic_path
from cryospin.io.mrc_header import (
    MrcHeader,
    Statistics,
    check_complete,
    header_bytes,
    read_header,
)
from cryospin.types import DensityMap, ParticleStack


def read_images(stack: ParticleStack, index: np.ndarray) -> Float[Tensor, "b d d"]:
    """Read images from disk.

    Parameters
    ----------
    stack : ParticleStack
        The particles.
    index : array
        Rows of `stack`, (b,) integers in any order.

    Returns
    -------
    Tensor
        (b, d, d) float32, in the order of `index`. Protein is bright if the table is right
        about the sign of its images.

    Raises
    ------
    BadDataError
        A stack is missing, truncated, too short, or has another box.
    """
    index = np.asarray(index)
    images = np.empty((len(index), stack.box, stack.box), dtype=np.float32)
    files, slices = stack.file_index[index], stack.slice_index[index]
    order = np.lexsort((slices, files))
    starts = np.flatnonzero(np.diff(files[order], prepend=-1))
    for positions in np.split(order, starts[1:]):
        if not len(positions):
            continue
        header = read_header(stack.files[files[positions[0]]])
        check_complete(header)
        if header.shape[1:] != (stack.box, stack.box):
            problem = f"images are {header.shape[2]} x {header.shape[1]}, not {stack.box} square"
            raise BadDataError(problem, file=header.path, fix="extract with one box size")
        if slices[positions[-1]] >= header.shape[0]:
            problem = f"image {slices[positions[-1]] + 1} of a stack of {header.shape[0]}"
            raise BadDataError(problem, file=header.path, fix="use the stack of this table")
        _read_slices(header, slices[positions], images, positions)
    if stack.image_sign is not None:
        images *= stack.image_sign[index, None, None].astype(np.float32)
    return torch.from_numpy(images)


def _read_slices(
    header: MrcHeader, slices: np.ndarray, images: np.ndarray, positions: np.ndarray
) -> None:
    """Slices (ascending) of one file to their positions, each run of neighbours in one piece.

    A mapped file costs more: a fault per page, which threads wait for each other in.
    """
    bytes_each = header.dtype.itemsize * images[0].size
    runs = np.flatnonzero((np.diff(slices) != 1) | (np.diff(positions) != 1)) + 1
    with open(header.path, "rb", buffering=0) as file:
        for first, last in zip([0, *runs], [*runs, len(slices)], strict=True):
            place = slice(positions[first], positions[last - 1] + 1)
            as_they_are = header.dtype == images.dtype
            read = images[place] if as_they_are else np.empty(images[place].shape, header.dtype)
            file.seek(header.offset + int(slices[first]) * bytes_each)
            _fill(read.reshape(-1).view(np.uint8), file, header)
            if not as_they_are:
                images[place] = read


def _fill(buffer: np.ndarray, file: RawIOBase, header: MrcHeader) -> None:
    while len(buffer):
        count = file.readinto(buffer.data)
        if not count:
            problem, fix = "it was cut short while it was read", "copy the stack again"
            raise BadDataError(problem, file=header.path, fix=fix)
        buffer = buffer[count:]


def read_map(path: Path | str, *, pad_to_cube: bool = False) -> DensityMap:
    """Read an MRC map, whatever the order of axes in the file.

    Parameters
    ----------
    path : path
        The file.
    pad_to_cube : bool
        Pad a box that is not a cube with zeros to an even cube, centre on centre.

    Returns
    -------
    DensityMap
        float32, indexed [z, y, x].

    Raises
    ------
    BadDataError
        The map is not a cube, has no voxel size or unequal ones, or has values that are not
        finite.
    """
    header = read_header(path)
    check_complete(header)
    # axes[i] tells which of x, y, z the i-th fastest axis of the file runs along
    order = [2 - header.axes.index(axis) for axis in (3, 2, 1)]
    values = np.array(header.memmap().transpose(order), dtype=np.float32, order="C")
    voxel = header.voxel_size_angstrom
    if not (np.isfinite(voxel).all() and min(voxel) > 0 and max(voxel) < 1.01 * min(voxel)):
        problem = f"voxel size {voxel[0]:g} x {voxel[1]:g} x {voxel[2]:g} Angstrom"
        fix = "write one voxel size into the header, the same along x, y and z"
        raise BadDataError(problem, file=path, fix=fix)
    if not np.isfinite(values).all():
        problem = f"{np.count_nonzero(~np.isfinite(values))} voxels are NaN or infinite"
        raise BadDataError(problem, file=path, fix="compute or export the map again")
    if len(set(values.shape)) > 1:
        if not pad_to_cube:
            shape = " x ".join(map(str, values.shape[::-1]))
            raise BadDataError(f"a box of {shape} is no cube", file=path, fix="pad the map")
        values = _padded_to_cube(values)
    return DensityMap(torch.from_numpy(values), voxel[0])


def _padded_to_cube(values: np.ndarray) -> np.ndarray:
    box = max(values.shape) + max(values.shape) % 2
    cube = np.zeros((box, box, box), dtype=values.dtype)
    corner = [box // 2 - size // 2 for size in values.shape]
    cube[tuple(slice(c, c + n) for c, n in zip(corner, values.shape, strict=True))] = values
    return cube


def write_map(path: Path | str, density: DensityMap) -> None:
    """Write a map as a 32-bit MRC file, with voxel size and statistics. There is no partial file.

    Parameters
    ----------
    path : path
        The file. It is replaced if it exists.
    density : DensityMap
        The map.

    Raises
    ------
    ResourceError
        The disk cannot take it.
    """
    values = density.values.detach().cpu().numpy().astype("<f4", order="C")
    found = Statistics()
    found.add(values)
    header = header_bytes(values.shape, density.pixel_size_angstrom, True, found)
    with atomic_path(path) as temporary, open(temporary, "wb") as output:
        output.write(header)
        output.write(values.tobytes())


class StackWriter:
    """Stream `count` images of `box` pixels into a stack; memory holds only what is appended.

    A context manager: the file takes its name when the block ends well.
    """

    def __init__(self, path: Path | str, box: int, pixel_size_angstrom: float, count: int) -> None:
        self.path = Path(path)
        self.shape = (count, box, box)
        self.pixel_size_angstrom = pixel_size_angstrom
        self._written = 0
        self._found = Statistics()
        self._output: BinaryIO
        self._exits: ExitStack

    def __enter__(self) -> StackWriter:
        with ExitStack() as exits:
            temporary = exits.enter_context(atomic_path(self.path))
            self._output = exits.enter_context(open(temporary, "wb"))
            self._output.write(self._header())
            self._exits = exits.pop_all()
        return self

    def append(self, images: np.ndarray) -> None:
        """Add images, (b, box, box) of any real type.

        Raises
        ------
        OSError: the disk does not take them; leaving the block makes it a ResourceError.
        ValueError: another shape, or more images than announced.
        """
        if images.shape[1:] != self.shape[1:] or self._written + len(images) > self.shape[0]:
            raise ValueError(f"{images.shape} after {self._written} of {self.shape} images")
        values = np.ascontiguousarray(images, dtype="<f4")
        self._found.add(values)
        self._output.write(values.data)
        self._written += len(images)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._exits:
            if error is not None:
                raise error
            if self._written != self.shape[0]:
                raise ValueError(f"{self._written} of {self.shape[0]} images were written")
            self._output.seek(0)
            self._output.write(self._header())

    def _header(self) -> bytes:
        return header_bytes(self.shape, self.pixel_size_angstrom, False, self._found)
