"""Maps against the true map: FSC after the best rotation, shift and hand.

The truth is moved, not the map: it is free of noise, and the run's mask and half-maps stay
where they are.
"""

from __future__ import annotations

from typing import Any

from cryospin.fourier.fsc import fourier_shell_correlation, resolution_at
from cryospin.types import DensityMap
from cryospin.volumes.alignment import MapAlignment, align_maps, apply_alignment
from cryospin.volumes.masks import soft_mask
from cryospin.volumes.resample import resample


def map_summary(
    density: DensityMap,
    truth: DensityMap,
    mask: DensityMap | None = None,
    halves: tuple[DensityMap, DensityMap] | None = None,
    alignment: MapAlignment | None = None,
) -> dict[str, Any]:
    """FSC to the truth within the mask, and without it; of the half-maps as well.

    truth: any box and voxel size. mask: in the frame of `density`; default: made from the
    truth once it is superimposed. Half-maps are in the frame of `density`. alignment: of the truth
    to `density`, where it is known.
    """
    truth = resample(truth, density.box, density.pixel_size_angstrom)
    alignment = align_maps(truth, density) if alignment is None else alignment
    moved = apply_alignment(truth, alignment)
    mask = soft_mask(moved) if mask is None else mask
    summary = {
        "hand_flipped": alignment.flipped,
        "correlation": alignment.correlation,
        **_resolutions(density, moved, mask),
    }
    for name, half in zip(("half1", "half2"), halves or (), strict=False):
        summary[name] = _resolutions(half, moved, mask)
    return summary


def _resolutions(density: DensityMap, truth: DensityMap, mask: DensityMap) -> dict[str, Any]:
    """Angstrom at which the FSC to the truth crosses 0.5 and 0.143, and the curves."""
    box, pixel = density.box, density.pixel_size_angstrom
    window = mask.values
    masked = fourier_shell_correlation(density.values * window, truth.values * window)
    unmasked = fourier_shell_correlation(density.values, truth.values)
    return {
        "fsc_0.5_angstrom": resolution_at(masked, 0.5, box, pixel),
        "fsc_0.143_angstrom": resolution_at(masked, 0.143, box, pixel),
        "unmasked_fsc_0.5_angstrom": resolution_at(unmasked, 0.5, box, pixel),
        "unmasked_fsc_0.143_angstrom": resolution_at(unmasked, 0.143, box, pixel),
        "fsc": [round(value, 5) for value in masked.tolist()],
        "unmasked_fsc": [round(value, 5) for value in unmasked.tolist()],
    }
