"""Images that another rank has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.particles.source import ParticleSource


@dataclass(frozen=True)
class AbsentParticles(ParticleSource):
    """What all ranks know of a half-set whose images are read by others (`journal.ranks`)."""

    disk: FourierDisk
    pixel_size_angstrom: float
    uids: Sequence[str]
    optics_group: Int[Tensor, " n"]
    noise_power: Float[Tensor, "g s"]
    noise_level: float

    @property
    def device(self) -> torch.device:
        return self.optics_group.device

    def rewhitened(self, noise_power: Float[Tensor, "g s"]) -> AbsentParticles:
        return replace(self, noise_power=noise_power)

    def portion(self, radius: float) -> NoReturn:
        self._refuse()

    def batch(self, rows: Int[Tensor, " b"] | slice, radius: float | None = None) -> NoReturn:
        self._refuse()

    def select(self, index: np.ndarray) -> NoReturn:
        self._refuse()

    def within(self, radius: float) -> NoReturn:
        self._refuse()

    def to(self, device: torch.device) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RuntimeError("the images of this half-set are another rank's")
