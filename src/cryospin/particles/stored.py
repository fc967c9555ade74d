"""Whitened images in a file: as many as there are, in as little memory as a batch takes.

The file has bands of frequencies, one after the other, and in each a row for every particle: a
batch within a small radius reads the first bands only, and neighbours lie together. Numbers have
16 bits: images are whitened, so noise has deviation 1, and rounding to 11 significant bits adds
less than a thousandth of its variance up to amplitudes of 128. Where an amplitude is beyond what
that bears, the file is written again with 32.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.errors import ResourceError
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.io.atomic import atomic_path
from cryospin.names import chosen
from cryospin.particles.prepare import Preparation
from cryospin.particles.source import ParticleSource

_FIRST_BAND, _NEXT_BAND = 12.0, 1.5  # radii: of the first band, and by how much the next are wider
_LARGEST = 1024.0  # an amplitude that 16 bits still hold to a quarter of the noise
_PORTION_BYTES = 2**26
_BYTES_PER_COEFFICIENT = 12  # as they are read: complex64 and float32
_PARTS = 3  # real, imaginary, CTF


@dataclass(frozen=True)
class CoefficientFile:
    """n rows of coefficients and CTFs on a disk of k frequencies.

    ends: where each band ends among the k.
    """

    path: Path
    count: int
    ends: tuple[int, ...]
    dtype: np.dtype

    @classmethod
    def of(cls, path: Path, count: int, disk: FourierDisk, dtype: np.dtype) -> CoefficientFile:
        radius, ends = _FIRST_BAND, []
        while radius < disk.radius:
            ends.append(disk.length_within(radius))
            radius *= _NEXT_BAND
        return cls(path, count, (*ends, len(disk)), dtype)

    @property
    def bytes(self) -> int:
        return self.count * self.ends[-1] * _PARTS * self.dtype.itemsize

    def write(self, file: int, first: int, images: ImageBatch) -> None:
        """Rows from `first` on, to an open file; safe to call from several threads.

        Raises
        ------
        OverflowError: an amplitude is more than 16 bits bear.
        OSError: the disk does not take it.
        """
        values = torch.view_as_real(images.coefficients.cpu()).numpy()
        ctf = images.ctf.cpu().numpy()
        if self.dtype.itemsize == 2 and max(np.abs(values).max(), np.abs(ctf).max()) > _LARGEST:
            raise OverflowError
        for start, stop, offset in self._bands():
            width = stop - start
            rows = np.empty((len(images), _PARTS * width), self.dtype)
            rows[:, : 2 * width] = values[:, start:stop].reshape(len(images), -1)
            rows[:, 2 * width :] = ctf[:, start:stop]
            _write_all(file, rows.tobytes(), offset + first * rows[0].nbytes)

    def read(
        self, rows: np.ndarray | slice, length: int
    ) -> tuple[Complex[Tensor, "b k"], Float[Tensor, "b k"]]:
        """The first so many coefficients, and CTFs, of some rows."""
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        values, ctf = torch.empty(count, length, 2), torch.empty(count, length)
        for start, stop, offset in self._bands():
            if start >= length:
                break
            width, keep = stop - start, min(stop, length) - start
            shape = (self.count, _PARTS * width)
            band = np.frombuffer(self._mapped, self.dtype, shape[0] * shape[1], offset)
            part = torch.from_numpy(band.reshape(shape)[rows])
            values[:, start : start + keep] = part[:, : 2 * keep].unflatten(1, (keep, 2))
            ctf[:, start : start + keep] = part[:, 2 * width : 2 * width + keep]
        # the system keeps what it can; that it is ours would count as this process's memory
        self._mapped.madvise(mmap.MADV_DONTNEED)
        return torch.view_as_complex(values), ctf

    def _bands(self) -> Iterator[tuple[int, int, int]]:
        """Of each: its first coefficient, the first beyond it, and its place in the file."""
        row = _PARTS * self.dtype.itemsize
        for start, stop in zip((0, *self.ends), self.ends, strict=False):
            yield start, stop, start * row * self.count

    @cached_property
    def _mapped(self) -> mmap.mmap:
        # never written to; torch complains of what cannot be
        with open(self.path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


@dataclass(frozen=True)
class StoredParticles(ParticleSource):
    """Whitened images in a file.

    file_rows: of the particles in the file. written_power: the noise power that the file's
    images are whitened by; batches are by `noise_power`.
    """

    disk: FourierDisk
    pixel_size_angstrom: float
    uids: Sequence[str]
    optics_group: Int[Tensor, " n"]
    noise_power: Float[Tensor, "g s"]
    noise_level: float
    file: CoefficientFile
    file_rows: np.ndarray
    written_power: Float[Tensor, "g s"]

    @property
    def device(self) -> torch.device:
        return self.optics_group.device

    def portion(self, radius: float) -> int:
        length = max(1, self.disk.length_within(radius))
        return max(1, _PORTION_BYTES // (_BYTES_PER_COEFFICIENT * length))

    def batch(self, rows: Int[Tensor, " b"] | slice, radius: float | None = None) -> ImageBatch:
        """Some images within `radius`: read."""
        disk = self.disk if radius is None else self.disk.prefix(radius)
        index = self.file_rows[rows if isinstance(rows, slice) else rows.cpu().numpy()]
        values, ctf = self.file.read(_as_slice(index), len(disk))
        values, ctf = values.to(self.device), ctf.to(self.device)
        if self.noise_power is not self.written_power:
            ratio = (self.written_power / self.noise_power).sqrt()
            factor = ratio[:, disk.shells(self.device)][self.optics_group[rows]]
            values, ctf = values * factor, ctf * factor
        return ImageBatch(values, ctf, disk)

    def select(self, index: np.ndarray) -> StoredParticles:
        return replace(
            self,
            uids=chosen(self.uids, index),
            optics_group=self.optics_group[self.rows(index)],
            file_rows=self.file_rows[index],
        )

    def within(self, radius: float) -> StoredParticles:
        return replace(self, disk=self.disk.prefix(radius))

    def to(self, device: torch.device) -> StoredParticles:
        tensors = ("optics_group", "noise_power", "written_power")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    def rewhitened(self, noise_power: Float[Tensor, "g s"]) -> StoredParticles:
        return replace(self, noise_power=noise_power)


def store_particles(
    preparation: Preparation,
    path: Path,
    key: str,
    batch_size: int = 500,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> StoredParticles:
    """Write a stack's images to a file, or take the file that an earlier process wrote.

    Parameters
    ----------
    preparation : Preparation
        Of the stack.
    path : Path
        The file; a small one beside it says that it is whole.
    key : str
        Of the stack and how it is prepared: a file of another key is written anew.
    batch_size : int
        Images in work at once.
    progress : callable
        Called with the images done and the images there are.

    Raises
    ------
    ResourceError: the disk does not take it.
    """
    count = len(preparation.stack)
    file = _whole(path, key, count, preparation.disk)
    if file is None:
        try:
            file = _written(preparation, path, np.dtype(np.float16), batch_size, progress)
        except OverflowError:
            file = _written(preparation, path, np.dtype(np.float32), batch_size, progress)
        with atomic_path(_note(path), recorded=False) as temporary:
            temporary.write_text(json.dumps({"key": key, "dtype": file.dtype.name}))
    progress(count, count)
    noise_power = preparation.noise_power
    return StoredParticles(
        preparation.disk,
        preparation.stack.pixel_size_angstrom,
        preparation.stack.uids,
        preparation.optics_group,
        noise_power,
        preparation.noise_level,
        file,
        np.arange(count),
        noise_power,
    )


def _written(
    preparation: Preparation,
    path: Path,
    dtype: np.dtype,
    batch_size: int,
    progress: Callable[[int, int], None],
) -> CoefficientFile:
    count, done = len(preparation.stack), 0
    made = CoefficientFile.of(path, count, preparation.disk, dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    _note(path).unlink(missing_ok=True)
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, made.bytes)

            def keep(rows: slice, images: ImageBatch) -> int:
                made.write(file.fileno(), rows.start, images)
                return len(images)

            for written in preparation.in_blocks(keep, batch_size):
                done += written
                progress(done, count)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ResourceError(
            f"{path}: {os.strerror(error.errno or 0)}; the images take {made.bytes / 1e9:.1f} GB"
            "\n  fix: give a folder with more space (--scratch), or more memory (--memory)"
        ) from error
    return made


def _whole(path: Path, key: str, count: int, disk: FourierDisk) -> CoefficientFile | None:
    """The file, if it was written to its end for this key."""
    try:
        note = json.loads(_note(path).read_text())
        found = CoefficientFile.of(path, count, disk, np.dtype(note["dtype"]))
        whole = note["key"] == key and path.stat().st_size == found.bytes
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if whole else None


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _as_slice(index: np.ndarray) -> np.ndarray | slice:
    """Neighbours in a row as a slice, which is read in one piece."""
    if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
