"""A phantom that can be moved exactly: a chain of Gaussians, sampled anew at each placement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

MIRROR = np.diag([1.0, 1.0, -1.0])


@dataclass(frozen=True)
class Phantom:
    """Gaussians at `positions` (g, 3), xyz in voxels from the centre of `box` voxels."""

    positions: np.ndarray
    weights: np.ndarray
    sigma: float
    box: int

    def moved(self, rotation: np.ndarray, shift: np.ndarray, flipped: bool) -> Phantom:
        """x' = rotation M^flipped x + shift."""
        matrix = rotation @ MIRROR if flipped else rotation
        return Phantom(self.positions @ matrix.T + shift, self.weights, self.sigma, self.box)

    def values(self) -> torch.Tensor:
        """(d, d, d) float32, [z, y, x]."""
        axis = np.arange(self.box) - self.box // 2
        x, y, z = (
            np.exp(-0.5 * ((axis - self.positions[:, i, None]) / self.sigma) ** 2) for i in range(3)
        )
        density = np.einsum("g,gz,gy,gx->zyx", self.weights, z, y, x, optimize=True)
        return torch.as_tensor(density, dtype=torch.float32)


def make_phantom(
    seed: int, box: int, sigma: float = 1.0, count: int = 80, reach: float = 0.25
) -> Phantom:
    """A random walk confined to an ellipsoid of about `reach` boxes, of no symmetry."""
    rng = np.random.default_rng(seed)
    walk = [np.zeros(3)]
    while len(walk) < count:
        step = walk[-1] + rng.normal(size=3) * reach * box / 3.5
        if np.linalg.norm(step * [1.0, 1.3, 0.9]) < reach * box:
            walk.append(step)
    positions = np.array(walk)
    return Phantom(positions - positions.mean(0), rng.uniform(0.5, 1.5, count), sigma, box)


def white_noise(values, shell, seed):
    """White noise that leaves two such maps an FSC of 0.143 at `shell`, in the whole box."""
    box = values.shape[-1]
    axis, half = torch.fft.fftfreq(box, 1 / box), torch.arange(box // 2 + 1)
    radius = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + half**2).sqrt()
    power = torch.fft.rfftn(values).abs().square()[(radius - shell).abs() < 0.5].mean()
    sigma = (power * (1 / 0.143 - 1) / box**3).sqrt()
    return sigma * torch.randn(values.shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def phantom_of():
    return make_phantom


@pytest.fixture
def noise_for():
    return white_noise
