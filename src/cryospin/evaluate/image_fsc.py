"""CryoBench's score of heterogeneity: for each image, the FSC between the map it is said to show
and the true map of what it shows (Jeon et al. 2024, "per-image FSC").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.rotations.align import MIRROR
from cryospin.types import DensityMap
from cryospin.volumes.alignment import MapAlignment
from cryospin.volumes.resample import resample, sample_on_grid


def fsc_auc(curve: Float[Tensor, " s"], box: int) -> float:
    """Area under an FSC curve (shells 1 .. d/2 - 1) over frequency in 1/pixel, by trapezoids.

    FSC(0) = 1 is the first point, as in CryoBench's program. Identical maps have just below 0.5.
    """
    shells = np.arange(len(curve) + 1)
    return float(np.trapezoid(np.r_[1.0, curve.double().numpy()], shells / box))


def moved_to_truth(density: DensityMap, alignment: MapAlignment) -> DensityMap:
    """A map in the frame of the truth, where `alignment` takes the truth onto it: the inverse of
    moving the truth, once for all true maps of that frame."""
    matrix = alignment.rotation.double()
    matrix = matrix @ MIRROR if alignment.flipped else matrix
    box, pixel = density.box, density.pixel_size_angstrom
    return sample_on_grid(density, matrix, alignment.shift_angstrom.double(), box, pixel)


def image_fsc_summary(
    maps: dict[int, tuple[DensityMap, DensityMap]],
    true_map: Callable[[int], DensityMap],
    found: Int[np.ndarray, " n"],
    shown: Int[np.ndarray, " n"],
) -> dict[str, Any]:
    """Mean and median of the area over all images that show something and are in a class with a
    map.

    maps: of classes, each with its mask, in the frame of the true maps. true_map: of a structure.
    found, shown: each image's class and true structure, -1 for none.
    """
    score = np.full((2, len(found)), np.nan)
    for structure in np.unique(shown[shown >= 0]).tolist():
        members = shown == structure
        classes = [number for number in np.unique(found[members]).tolist() if number in maps]
        truth = true_map(structure) if classes else None
        for number in classes:
            density, mask = maps[number]
            assert truth is not None
            there = resample(truth, density.box, density.pixel_size_angstrom).values
            for row, window in enumerate((torch.ones(()), mask.values)):
                curve = fourier_shell_correlation(density.values * window, there * window)
                score[row, members & (found == number)] = fsc_auc(curve, density.box)
    scored = np.isfinite(score[0])
    return {
        "images": int((shown >= 0).sum()),
        "images_scored": int(scored.sum()),
        **_mean_and_median(score[0, scored], "unmasked"),
        **_mean_and_median(score[1, scored], "masked"),
    }


def _mean_and_median(values: np.ndarray, name: str) -> dict[str, Any]:
    known = len(values) > 0
    return {
        f"{name}_mean": float(values.mean()) if known else None,
        f"{name}_median": float(np.median(values)) if known else None,
    }
