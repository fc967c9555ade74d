"""How large the particle is, from the images themselves.

The mean of all images, each multiplied by its CTF, is what a particle looks like when it is
averaged over all views: the projection of a radial density. A thin shell of radius r projects
to sinc(2 k r) at frequency k, so that density is a non-negative sum of shells, found by least
squares (Lawson & Hanson 1974). The diameter is that of the smallest ball whose shells explain
the mean image as well as shells anywhere do. Neighbours, junk and the CTF's fringes vary from
image to image but hardly move the mean; a threshold on the variance of pixels takes them for
particle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import nnls
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, coefficients_to_images
from cryospin.io.mrc import read_images
from cryospin.parallel import in_image_blocks
from cryospin.particles.draws import particle_keys
from cryospin.particles.lens import Lenses
from cryospin.particles.pixel_loops import Moments, normalised, pixel_rings
from cryospin.types import ParticleStack

_SAMPLE, _SAMPLE_BYTES, _FEWEST = 2000, 2**30, 200
_RIM_PIXEL = 4
_SHELLS = 40  # detail finer than a fortieth of the box says nothing of the size
_RADII = 64  # per half box
# The mean image is matched to this part of itself: defoci and the pixel size are not exact. A ball
# is large enough when what it leaves unexplained, beyond what shells up to `_LARGEST` boxes leave,
# is less than a part of the amplitude and no more significant than a chi squared
_MODEL_ERROR, _UNEXPLAINED, _SIGNIFICANT = 0.03, 0.07, 12.0
_LARGEST = 0.46
# Where no ball explains the mean image (chi squared per shell), neighbours lie around particles:
# where they cannot be, they leave a hole about as wide as the particle, which changes the lowest
# shells by these parts, and others a little
_CROWDED, _CROWDED_SHELLS, _CROWDED_UNEXPLAINED = 2.0, (0.3, 0.1, 0.03), 0.1
# From that ball to the one that holds 98 % of the mass: the faint tail is not seen
_TO_98_PERCENT = 1.05
_SUPPORT = 0.55  # radius of a map's support, of the mask's diameter: its edge is soft
LARGEST_SUPPORT = 0.42  # and that in boxes


@dataclass(frozen=True)
class ParticleSize:
    """The particle's diameter, that of the circle images are masked with, and the evidence.

    diameter_angstrom: of the sphere about the particle's centre that holds 98 % of its mass;
        None where the images do not tell.
    mask_diameter_angstrom: what else lies in the box is outside; None for the whole box.
    given: the user said so.
    variance: mean square of the images, normalised to their background, on rings of one pixel,
        less 1. mean_image: of the images, each times its CTF, low-passed.
    """

    diameter_angstrom: float | None
    mask_diameter_angstrom: float | None
    given: bool
    variance: Float[Tensor, " p"]
    mean_image: Float[Tensor, "d d"]

    def support_radius(self, field_angstrom: float) -> float:
        """Of the sphere that a map may fill, in boxes of `field_angstrom`."""
        if self.mask_diameter_angstrom is None:
            return LARGEST_SUPPORT
        return min(_SUPPORT * self.mask_diameter_angstrom / field_angstrom, LARGEST_SUPPORT)

    def summary(self) -> dict[str, float | bool | None]:
        """The diameters as result.json and the log tell them."""
        return {
            "diameter_angstrom": _rounded(self.diameter_angstrom),
            "mask_diameter_angstrom": _rounded(self.mask_diameter_angstrom),
            "given": self.given,
        }


def particle_size(
    stack: ParticleStack,
    seed: int,
    max_shift_pixel: float,
    given_diameter_angstrom: float | None = None,
) -> ParticleSize:
    """Measure the particle on a sample of the stack; protein may be bright or dark.

    max_shift_pixel: how far particles may lie from the centre of the box; the mask leaves room.
    given_diameter_angstrom: is taken for both diameters instead of what is found.
    """
    sums = _Sums.of(stack, seed)
    found = sums.radius_pixel()
    pixel = stack.pixel_size_angstrom
    diameter = None if found is None else 2.0 * found * pixel
    mask = None if found is None else 2.0 * (found + max_shift_pixel) * pixel
    if given_diameter_angstrom is not None:
        diameter = mask = given_diameter_angstrom
    return ParticleSize(
        diameter,
        mask,
        given_diameter_angstrom is not None,
        sums.variance,
        coefficients_to_images(sums.matched.to(torch.complex64), sums.disk),
    )


@dataclass(frozen=True)
class _Sums:
    """Means over the sample.

    matched: C F. transfer: C^2. mean, error: of C Re F on shells, and its standard error.
    """

    disk: FourierDisk
    matched: Tensor
    transfer: Float[Tensor, " k"]
    mean: Float[Tensor, " s"]
    error: Float[Tensor, " s"]
    variance: Float[Tensor, " p"]

    @classmethod
    def of(cls, stack: ParticleStack, seed: int) -> _Sums:
        box = stack.box
        size = min(_SAMPLE, max(_FEWEST, _SAMPLE_BYTES // (4 * box**2)))
        keys = particle_keys(seed, stack.uids, "diameter")
        chosen = np.sort(np.argsort(keys, kind="stable")[:size])
        disk = FourierDisk.of(box, min(_SHELLS + 0.5, box // 2 - 1))
        shell = torch.as_tensor(disk.shell, dtype=torch.long)
        population = torch.bincount(shell).double()
        lenses = Lenses.of(stack, disk)
        rings, whole = pixel_rings(box), np.ones((box, box), dtype=np.float32)

        def block_sums(rows: slice) -> tuple[Tensor, ...]:
            index = chosen[rows]
            images = read_images(stack, index).numpy()
            seen = Moments.of(images, box // 2 - _RIM_PIXEL)
            mean, scale = (
                value.astype(np.float32) for value in (seen.outer_mean, seen.outer_deviation)
            )
            squares = np.zeros(box // 2 + 1)
            normal = normalised(images, np.arange(len(index)), mean, scale, whole, rings, squares)
            ctf = lenses.transfer(index)
            matched = lenses.coefficients(torch.from_numpy(normal), index) * ctf
            on_shells = torch.zeros(len(index), len(population), dtype=torch.float64)
            on_shells.index_add_(1, shell, matched.real.double()).div_(population)
            return (
                matched.sum(0).to(torch.complex128),
                ctf.square().sum(0).double(),
                on_shells.sum(0),
                on_shells.square().sum(0),
                torch.from_numpy(squares),
            )

        totals: tuple[Tensor, ...] | None = None
        for part in in_image_blocks(block_sums, len(chosen), box):
            totals = part if totals is None else tuple(map(torch.add, totals, part))
        assert totals is not None, "a stack of no images"
        matched, transfer, mean, square, power = (total / len(chosen) for total in totals)
        error = ((square - mean**2).clamp_min(0) / len(chosen)).sqrt()
        pixels = torch.from_numpy(np.bincount(rings.reshape(-1)))
        return cls(disk, matched, transfer, mean, error, (power / pixels)[:-1] - 1.0)

    def radius_pixel(self) -> float | None:
        """Radius of the sphere that holds 98 % of the mass; None where nothing tells it."""
        box = self.disk.box
        tried = np.arange(_RADII // 10, int(2 * _LARGEST * _RADII) + 1)
        radii = (np.arange(tried[-1]) + 0.5) * 0.5 * box / _RADII
        shells, mean, error = (
            self._of_shells(radii)[1:],
            self.mean.numpy()[1:],
            self.error.numpy()[1:],
        )
        model_error = np.full(len(mean), _MODEL_ERROR)
        unexplained = _UNEXPLAINED
        fit = _Fit.of(shells, mean, np.hypot(error, model_error * mean))
        if fit.left > _CROWDED * len(mean):
            lowest = slice(0, len(_CROWDED_SHELLS))
            model_error[lowest] = np.hypot(model_error[lowest], _CROWDED_SHELLS[: len(mean)])
            unexplained = _CROWDED_UNEXPLAINED
            fit = _Fit.of(shells, mean, np.hypot(error, model_error * mean))
        if fit.left > 0.5 * fit.total or fit.total < 10.0 * len(mean):
            return None
        # errors of the model, as far as no ball explains them, make a difference less significant
        scale = max(1.0, fit.left / len(mean))
        enough = fit.left + unexplained**2 * fit.total + _SIGNIFICANT * scale
        smallest = next(count for count in tried if fit.left_by(int(count)) <= enough)
        return float(_TO_98_PERCENT * smallest * 0.5 * box / _RADII)

    def _of_shells(self, radii: np.ndarray) -> np.ndarray:
        """The mean of C^2 times the projection of a thin shell of each radius, (s, r)."""
        cycles = self.disk.magnitude / self.disk.box
        projected = np.sinc(2.0 * cycles[:, None] * radii) * self.transfer.numpy()[:, None]
        sums = np.zeros((len(self.mean), len(radii)))
        np.add.at(sums, self.disk.shell, projected)
        return sums / np.bincount(self.disk.shell)[:, None]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


@dataclass(frozen=True)
class _Fit:
    """Shells fitted to the mean image, both over the errors; observed is of the sign, bright or
    dark protein, that they explain better.

    left: chi squared of all shells together. total: of none.
    """

    shells: np.ndarray
    observed: np.ndarray
    left: float
    total: float

    @classmethod
    def of(cls, shells: np.ndarray, mean: np.ndarray, error: np.ndarray) -> _Fit:
        error = error.clip(min=1e-12)
        weighted, observed = shells / error[:, None], mean / error
        left, sign = min((_chi_squared(weighted, s * observed), s) for s in (1.0, -1.0))
        return cls(weighted, sign * observed, left, float(observed @ observed))

    def left_by(self, count: int) -> float:
        """Chi squared of the innermost `count` shells."""
        return _chi_squared(self.shells[:, :count], self.observed)


def _chi_squared(shells: np.ndarray, observed: np.ndarray) -> float:
    """Of the best non-negative sum of shells."""
    _, residual = nnls(shells, observed, maxiter=100 * shells.shape[1])
    return float(residual) ** 2
