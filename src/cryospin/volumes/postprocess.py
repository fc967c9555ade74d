"""From two half-maps to a map for the eye: weighted by what is known, sharpened.

Rosenthal & Henderson 2003: the mean of the half-maps times Cref = sqrt(2 FSC / (1 + FSC))
shell by shell, FSC being the mask-corrected one, and times exp(B s^2 / 4) with B > 0 to
sharpen (a B-factor of -B in their sign). B is read off the fall of the logarithm of the
amplitudes (Guinier) where they are beyond 10 Angstrom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.errors import BadDataError
from cryospin.fourier.fsc import shell_sums, shells_of_spectrum
from cryospin.fourier.volume import volume_of_spectrum, volume_spectrum
from cryospin.types import DensityMap
from cryospin.volumes.alignment import check_comparable
from cryospin.volumes.masks import soft_mask
from cryospin.volumes.resolution import HalfMapResolution, half_map_resolution

GUINIER_FROM_ANGSTROM = 10.0
_LEAST_SHELLS = 4
_EDGE_SHELLS = 2.0


@dataclass(frozen=True)
class Postprocessed:
    """density: weighted and sharpened, masked; as wide a box as the half-maps'.

    b_factor_angstrom2: what was applied, negative where it sharpens; None: the map has too
        few shells beyond 10 Angstrom for a fit, and was not sharpened.
    weights: Cref of shells 1 .. d/2 - 1.
    """

    density: DensityMap
    mask: DensityMap
    resolution: HalfMapResolution
    b_factor_angstrom2: float | None
    weights: Float[Tensor, " s"]


def postprocess_halves(
    half1: DensityMap,
    half2: DensityMap,
    mask: DensityMap | None = None,
    b_factor_angstrom2: float | None = None,
    seed: int = 0,
) -> Postprocessed:
    """Weight by the mask-corrected FSC, sharpen by B (default: Guinier's), low-pass, mask.

    Beyond the resolution (FSC 0.143) nothing is kept but a soft edge of two shells.

    Raises
    ------
    BadDataError: maps of unequal box or voxel size, and half-maps that agree nowhere.
    """
    check_comparable(half1, half2)
    total = DensityMap(0.5 * (half1.values + half2.values), half1.pixel_size_angstrom)
    mask = soft_mask(total) if mask is None else mask
    resolution = half_map_resolution(half1, half2, mask, seed)
    reached = resolution.resolution_0143_angstrom
    if reached is None:
        raise BadDataError(
            "the half-maps do not agree anywhere (FSC 0.143)",
            fix="give the two half-maps of one run, superimposed and unfiltered",
        )
    fsc = resolution.corrected.clamp(0.0, 1.0)
    weights = (2.0 * fsc / (1.0 + fsc)).sqrt()
    spectrum = volume_spectrum(total.values.float())
    field = half1.box * half1.pixel_size_angstrom
    applied = b_factor_angstrom2
    if applied is None:
        applied = guinier_b_factor(spectrum.abs().square(), weights, field, reached)
    shells = torch.arange(1, half1.box // 2, dtype=torch.float64)
    edge = ((field / reached - shells) / _EDGE_SHELLS + 1.0).clamp(0.0, 1.0)
    gain = weights * torch.exp(-0.25 * (applied or 0.0) * (shells / field) ** 2) * edge
    density = DensityMap(
        _scaled(spectrum, gain, half1.box) * mask.values, total.pixel_size_angstrom
    )
    return Postprocessed(density, mask, resolution, applied, weights)


def _scaled(
    spectrum: Complex[Tensor, "z y x"], gain: Float[Tensor, " s"], box: int
) -> Float[Tensor, "d d d"]:
    """Shells times their gain; the mean as shell 1, and nothing in the corners."""
    shells = shells_of_spectrum(box)
    full = torch.zeros(int(shells.max()) + 1, dtype=torch.float64)
    full[0], full[1 : len(gain) + 1] = gain[0], gain
    return volume_of_spectrum(spectrum * full[shells].float(), (box, box, box))


def guinier_b_factor(
    power: Float[Tensor, "z y x"],
    weights: Float[Tensor, " s"],
    field_angstrom: float,
    resolution_angstrom: float,
) -> float | None:
    """The B (Angstrom^2, negative) that makes ln |F| flat from 10 Angstrom to the resolution.

    ln (w |F|) = c + B s^2 / 4 by least squares, |F| the root mean square of a shell. None
    where fewer than four shells lie between.
    """
    box = power.shape[0]
    population = shell_sums(torch.ones_like(power))
    mean = (shell_sums(power) / population).numpy()
    shells = np.arange(1, box // 2)
    inside = (shells > field_angstrom / GUINIER_FROM_ANGSTROM) & (
        shells <= field_angstrom / resolution_angstrom
    )
    inside &= (mean > 0) & (weights.numpy() > 0)
    if inside.sum() < _LEAST_SHELLS:
        return None
    logarithm = 0.5 * np.log(mean[inside]) + np.log(weights.numpy()[inside])
    slope, _ = np.polyfit((shells[inside] / field_angstrom) ** 2, logarithm, 1)
    return float(4.0 * slope)
