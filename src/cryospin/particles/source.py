"""Where methods get their images from, wherever these lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch


class ParticleSource(ABC):
    """Whitened images of n particles: in memory (`particles.prepare`), or in a file
    (`particles.stored`).

    Methods ask for an `ImageBatch`, with `batch` or `batches`; all images at once, with `images`,
    are for those that are few.

    disk: the frequencies there are.
    noise_power: of each optics group and shell, what images are whitened by: that of the noise
        before any mask, as many coefficients as pixels.
    noise_level: E|noise|^2 of a coefficient: 1, or what is left of it under a mask, the mean square
        of that. Then coefficients are not independent: a sum of their squares is the likelihood of
        the pixels inside (Parseval), as it should be; with 1 each it would be sharper.
    """

    disk: FourierDisk
    pixel_size_angstrom: float
    uids: Sequence[str]
    optics_group: Int[Tensor, " n"]
    noise_power: Float[Tensor, "g s"]
    noise_level: float

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where batches are."""

    @abstractmethod
    def portion(self, radius: float) -> int:
        """How many images within a radius are to be in work at once: all that are in memory."""

    @abstractmethod
    def batch(self, rows: Int[Tensor, " b"] | slice, radius: float | None = None) -> ImageBatch:
        """Some images within `radius` Fourier pixels (default: whole). Of a slice of rows perhaps
        views."""

    @abstractmethod
    def select(self, index: np.ndarray) -> ParticleSource:
        """Some of the particles."""

    @abstractmethod
    def within(self, radius: float) -> ParticleSource:
        """With the coefficients within so many Fourier pixels only, quick to read again."""

    @abstractmethod
    def to(self, device: torch.device) -> ParticleSource:
        """With batches on a device."""

    @abstractmethod
    def rewhitened(self, noise_power: Float[Tensor, "g s"]) -> ParticleSource:
        """The same images under a better noise spectrum. What was asked is of no further use."""

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def field_angstrom(self) -> float:
        return self.disk.box * self.pixel_size_angstrom

    def resolution_angstrom(self, radius: float) -> float:
        return self.field_angstrom / radius

    def rows(self, index: np.ndarray) -> Int[Tensor, " b"]:
        """Numbers of particles, where the particles are; a card is not waited for."""
        return torch.as_tensor(index).to(self.device, non_blocking=True)

    def images(self, radius: float | None = None) -> ImageBatch:
        """All images within `radius`."""
        return self.batch(slice(0, len(self)), radius)

    def batches(
        self, size: int, radius: float | None = None, done: int = 0
    ) -> Iterator[tuple[Int[Tensor, " b"], ImageBatch]]:
        """All images after the first `done`, so many at a time, with their rows."""
        for first in range(done, len(self), size):
            last = min(first + size, len(self))
            rows = torch.arange(first, last, device=self.device)
            yield rows, self.batch(slice(first, last), radius)
