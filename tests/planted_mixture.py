"""Particles of several made-up structures, of which each one's class and pose are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.poses import Assignment
from cryospin.refine.halves import HalfSet
from phantoms import Blobs, PlantedParticles, in_memory

BOX, SUPPORT = 24, 0.42
DISK = FourierDisk.of(BOX)
IDENTITY = torch.eye(3)[None]
SETTING = Setting(IDENTITY, 1.0, support_radius=SUPPORT)
WHOLE = Blobs.random(2, spread=2.5, sigma=1.2)


def without(blobs: Blobs, *lost: int) -> Blobs:
    """The structure less some of its parts: another state, in the same frame."""
    kept = [number for number in range(len(blobs.weights)) if number not in lost]
    return Blobs(blobs.positions[kept], blobs.weights[kept], blobs.sigmas[kept])


# states of one structure, and structures that have nothing in common
STATES = (WHOLE, without(WHOLE, 0, 1), without(WHOLE, 2, 3))
UNRELATED = tuple(Blobs.random(seed, spread=2.5, sigma=1.2) for seed in (2, 3, 5))


@dataclass(frozen=True)
class PlantedMixture:
    """half: all particles at their true poses. numbers: the class of each."""

    half: HalfSet
    numbers: Tensor

    @classmethod
    def of(
        cls,
        structures: tuple[Blobs, ...],
        counts: tuple[int, ...],
        seed: int,
        *,
        signal: float,
        off_degrees: float = 0.0,
    ) -> PlantedMixture:
        """So many images of each structure, shuffled."""
        parts = [
            PlantedParticles.of(blobs, DISK, count, 100 * seed + number, signal=signal).half_set(
                off_degrees
            )
            for number, (blobs, count) in enumerate(zip(structures, counts, strict=True))
        ]
        order = torch.as_tensor(np.random.default_rng(seed).permutation(sum(counts)))
        numbers = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        first = in_memory(parts[0].particles)
        particles = replace(
            first,
            uids=tuple(uid for part in parts for uid in part.particles.uids),
            **{
                name: torch.cat([getattr(part.particles, name) for part in parts])
                for name in ("coefficients", "ctf", "optics_group")
            },
        )
        whole = HalfSet(particles, Assignment.joined([part.poses for part in parts]))
        return cls(whole.select(order), numbers[order])

    def classed(self, sharpness: float = 1.0) -> ClassedHalf:
        """As the truth is; each image by `sharpness` in its own class, else in all alike."""
        count = int(self.numbers.max()) + 1
        own = torch.nn.functional.one_hot(self.numbers, count).float()
        return ClassedHalf(
            (self.half,) * count, torch.lerp(torch.full_like(own, 1 / count), own, sharpness)
        )


def accuracy(found: Tensor, true: Tensor) -> float:
    """Share of the images in the right class, under the best naming of the classes."""
    from scipy.optimize import linear_sum_assignment

    count = int(max(found.max(), true.max())) + 1
    table = torch.bincount(true * count + found, minlength=count * count).view(count, count)
    rows, columns = linear_sum_assignment(-table.numpy())
    return float(table[rows, columns].sum() / len(true))
