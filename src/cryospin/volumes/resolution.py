"""Resolution of a map from its two half-maps, with the mask's own contribution taken out.

Chen et al. 2013, Ultramicroscopy 135:24: a mask makes independent noise correlate. How much
is measured on the same half-maps with their phases randomised beyond where they agree
anyway, and subtracted: FSC_true = (FSC_masked - FSC_random) / (1 - FSC_random).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.errors import BadDataError
from cryospin.fourier.fsc import (
    correlate_shells,
    fourier_shell_correlation,
    resolution_at,
    shell_sums,
    shells_of_spectrum,
)
from cryospin.fourier.volume import volume_of_spectrum, volume_spectrum
from cryospin.types import DensityMap
from cryospin.volumes.alignment import check_comparable

_RANDOMISE_BELOW = 0.8
# shells after the first randomised one for which the masked curve still stands: the mask
# carries phases that were kept across the border
_BORDER_SHELLS = 2
# agreement that ends before shell 3 is what two maps of noise show once superimposed
_FIRST_SHELL_OF_A_RESOLUTION = 3
_SIGNIFICANT_SIGMAS = 4.0


@dataclass(frozen=True)
class HalfMapResolution:
    """FSC curves over shells 1 .. d/2 - 1, and where the corrected one crosses.

    phase_randomised: of the masked maps with phases randomised from `randomised_from` on.
    resolution_0143_angstrom, resolution_05_angstrom: None where the half-maps do not agree
        to begin with.
    """

    unmasked: Float[Tensor, " s"]
    masked: Float[Tensor, " s"]
    phase_randomised: Float[Tensor, " s"]
    corrected: Float[Tensor, " s"]
    randomised_from: int
    resolution_0143_angstrom: float | None
    resolution_05_angstrom: float | None
    box: int
    pixel_size_angstrom: float


def half_map_resolution(
    half1: DensityMap, half2: DensityMap, mask: DensityMap, seed: int = 0
) -> HalfMapResolution:
    """FSC between superimposed half-maps: unmasked, masked, and corrected for the mask.

    Raises BadDataError for maps of unequal box or voxel size, and for a mask of zeros.
    """
    check_comparable(half1, half2)
    check_comparable(half1, mask)
    if not bool(mask.values.any()):
        fix = "give a mask that is 1 on the particle (cryospin mask)"
        raise BadDataError("the mask is empty: 0 everywhere", fix=fix)
    first, second = half1.values, half2.values
    spectra = volume_spectrum(first), volume_spectrum(second)
    unmasked = correlate_shells(*spectra)
    masked = fourier_shell_correlation(first * mask.values, second * mask.values)
    shell = first_shell_below(unmasked, _RANDOMISE_BELOW)
    generator = torch.Generator().manual_seed(seed)
    scrambled = [randomise_phases(spectrum, shell, generator) for spectrum in spectra]
    randomised = fourier_shell_correlation(*(values * mask.values for values in scrambled))
    corrected = correct_for_mask(masked, randomised, shell)
    box, pixel = half1.box, half1.pixel_size_angstrom
    return HalfMapResolution(
        unmasked=unmasked,
        masked=masked,
        phase_randomised=randomised,
        corrected=corrected,
        randomised_from=shell,
        resolution_0143_angstrom=_resolution(corrected, unmasked, 0.143, box, pixel),
        resolution_05_angstrom=_resolution(corrected, unmasked, 0.5, box, pixel),
        box=box,
        pixel_size_angstrom=pixel,
    )


def first_shell_below(curve: Float[Tensor, " s"], threshold: float) -> int:
    """The first shell (from 1) whose value is below, or one past the last."""
    below = torch.nonzero(curve < threshold).flatten()
    return int(below[0]) + 1 if len(below) else len(curve) + 1


def randomise_phases(
    spectrum: Complex[Tensor, "z y x"], from_shell: int, generator: torch.Generator
) -> Float[Tensor, "d d d"]:
    """The map with its amplitudes, and random phases from a shell on.

    Phases are those of white noise, whose transform has the symmetry of a real map's.
    """
    box = spectrum.shape[0]
    noise = torch.randn((box, box, box), generator=generator, dtype=spectrum.real.dtype)
    other = volume_spectrum(noise)
    random = spectrum.abs() * other / other.abs().clamp_min(torch.finfo(noise.dtype).tiny)
    mixed = torch.where(shells_of_spectrum(box) >= from_shell, random, spectrum)
    return volume_of_spectrum(mixed, (box, box, box))


def correct_for_mask(
    masked: Float[Tensor, " s"], randomised: Float[Tensor, " s"], from_shell: int
) -> Float[Tensor, " s"]:
    """(FSC_masked - FSC_random) / (1 - FSC_random), from just past the first random shell."""
    shells = torch.arange(1, len(masked) + 1)
    # a negative correlation of the random maps is chance, and a mask cannot be worse than 1
    chance = randomised.clamp(0.0, 0.999)
    # where no shell at all agrees there is nothing to keep
    border = from_shell + _BORDER_SHELLS if from_shell > 1 else 1
    return torch.where(shells >= border, (masked - chance) / (1.0 - chance), masked)


def _resolution(
    corrected: Float[Tensor, " s"],
    unmasked: Float[Tensor, " s"],
    threshold: float,
    box: int,
    pixel_size_angstrom: float,
) -> float | None:
    """The crossing, or None where what lies before it may be chance.

    The correlation of n coefficients of noise has a standard deviation of 1 / sqrt(n) (n
    counting both of a Friedel pair, as real and imaginary part).
    """
    crossing = first_shell_below(corrected, threshold)
    if crossing < _FIRST_SHELL_OF_A_RESOLUTION:
        return None
    population = shell_sums(torch.ones(box, box, box // 2 + 1))
    significant = unmasked > _SIGNIFICANT_SIGMAS / population.sqrt()
    if not significant[: crossing - 1].any():
        return None
    return resolution_at(corrected, threshold, box, pixel_size_angstrom)
