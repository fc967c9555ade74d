"""Soft masks around the particle, for resolution estimates.

Generous on purpose: a mask that cuts density away makes maps look worse than they are and a
tight one makes them look better; what a loose one costs is a little resolution.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from cryospin.fourier.fsc import shells_of_spectrum
from cryospin.fourier.volume import volume_of_spectrum, volume_spectrum
from cryospin.types import DensityMap
from cryospin.volumes.gridded import spherical_support

# of the way from the solvent's mean to the protein's: weak domains are kept
_LEVEL = 0.3
_NOISE_SIGMAS = 2.0
_SMALLEST_COMPONENT = 0.05
# few particles fill so much of the sphere; noise above the threshold does
_CROWDED = 0.6
_LOWPASS_FACTORS = (1.0, 1.5, 2.25, 3.4)


def spherical_mask(
    box: int, pixel_size_angstrom: float, radius_angstrom: float, edge_angstrom: float
) -> DensityMap:
    """1 inside the sphere, a raised-cosine fall over `edge_angstrom` outside of it."""
    radius, edge = radius_angstrom / pixel_size_angstrom, edge_angstrom / pixel_size_angstrom
    values = spherical_support(box, radius, max(edge, 1e-3))
    return DensityMap(values, pixel_size_angstrom)


def soft_mask(
    density: DensityMap,
    lowpass_angstrom: float | None = None,
    dilation_angstrom: float | None = None,
    edge_angstrom: float | None = None,
) -> DensityMap:
    """A mask in [0, 1] around what stands out of a map, within the sphere the box holds.

    Low-pass, threshold (Otsu 1979, lowered so that weak density stays), drop specks, fill
    holes, dilate, raised-cosine edge. Noise that fills the sphere calls for a lower
    low-pass; a map in which nothing stands out gets the sphere. Deterministic.

    lowpass_angstrom: default 15, or a sixteenth of the box where that is more.
    dilation_angstrom: default half the low-pass, at least 2 voxels.
    edge_angstrom: default 8, at least 4 voxels.
    """
    box, pixel = density.box, density.pixel_size_angstrom
    lowpass = lowpass_angstrom or max(15.0, box * pixel / 16)
    dilation = dilation_angstrom or max(0.5 * lowpass, 2 * pixel)
    edge = edge_angstrom or max(8.0, 4 * pixel)
    sphere = spherical_support(box, box / 2 - 1 - edge / pixel, edge / pixel)
    mask = sphere
    for factor in _LOWPASS_FACTORS:
        core = _core(low_passed(density, lowpass * factor), sphere > 0)
        if not core.any():
            return DensityMap(sphere, pixel)
        distance = torch.from_numpy(ndimage.distance_transform_edt(~core)).float() * pixel
        fall = ((distance - dilation) / edge).clamp(0.0, 1.0)
        mask = (0.5 + 0.5 * torch.cos(np.pi * fall)) * sphere
        if mask.sum() < _CROWDED * sphere.sum():
            break
    return DensityMap(mask, pixel)


def _core(smooth: DensityMap, inside: Bool[Tensor, "d d d"]) -> np.ndarray:
    """Where the particle certainly is: above the threshold, specks dropped, holes filled."""
    solid = inside & (smooth.values > _threshold(smooth.values[inside]))
    labels, _ = ndimage.label(solid.numpy())
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large = sizes >= max(1.0, _SMALLEST_COMPONENT * sizes.max())
    return ndimage.binary_fill_holes(large[labels])


def low_passed(density: DensityMap, resolution_angstrom: float) -> DensityMap:
    """The map times a raised cosine in Fourier space that passes 1/2 at the resolution."""
    box = density.box
    cutoff = box * density.pixel_size_angstrom / resolution_angstrom
    width = max(2.0, 0.3 * cutoff)
    shells = shells_of_spectrum(box).to(density.values.dtype)
    fall = ((shells - cutoff) / width + 0.5).clamp(0.0, 1.0)
    spectrum = volume_spectrum(density.values) * (0.5 + 0.5 * torch.cos(np.pi * fall))
    values = volume_of_spectrum(spectrum, (box, box, box))
    return DensityMap(values, density.pixel_size_angstrom)


def _threshold(values: Float[Tensor, " v"]) -> float:
    """Below Otsu's: a set way from the lower class's mean, or out of its noise."""
    array = values.double().numpy()
    if array.max() == array.min():
        return float(array.max())  # nothing stands out
    counts, edges = np.histogram(array, bins=512)
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    sum_below = np.cumsum(counts * centres)[:-1]
    mean_below = sum_below / np.maximum(below, 1)
    mean_above = ((counts * centres).sum() - sum_below) / np.maximum(above, 1)
    between = below * above * (mean_above - mean_below) ** 2
    best = int(np.argmax(between))
    otsu = edges[best + 1]
    solvent, protein = mean_below[best], mean_above[best]
    noise = array[array <= otsu].std()
    level = max(_LEVEL * (protein - solvent), _NOISE_SIGMAS * noise)
    return float(min(otsu, solvent + level))
