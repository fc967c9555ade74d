"""Pose errors against a table that knows: rotations modulo the frame, shifts modulo the origin.

Particles are matched by the image they are, never by their row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.evaluate.symmetry_axis import align_about_any_axis
from cryospin.io.pairing import pair_particles
from cryospin.rotations.align import RotationAlignment
from cryospin.types import ParticleStack, Poses

LOST_DEGREES = 10.0
_ITERATIONS = 50


@dataclass(frozen=True)
class ShiftErrors:
    """`t_est - t_true = (R_est o)_xy + error`: what is left once the origin o is fitted.

    An ab-initio map sits anywhere in its box; that displacement is no error of any particle.

    errors_angstrom: length of the 2D error of each particle.
    """

    origin_angstrom: Float[Tensor, " 3"]
    errors_angstrom: Float[Tensor, " n"]


def match_particles(
    estimated: ParticleStack, true: ParticleStack
) -> tuple[ParticleStack, ParticleStack]:
    """The particles both tables have, in the order of the first (`io.pairing.pair_particles`).

    Raises BadDataError when nothing matches, or a name stands for several images.
    """
    left, right = pair_particles(estimated, true)
    return estimated.select(left), true.select(right)


def shift_errors(
    estimated: Poses, true: Poses, rotation_errors_degrees: Float[Tensor, " n"]
) -> ShiftErrors:
    """Fit the origin by reweighted least squares, starting from the well oriented particles.

    In the estimate's own frame and hand: mirrors along z leave (R o)_xy as it is, up to
    the sign of o_z.
    """
    difference = (estimated.shifts_angstrom - true.shifts_angstrom).double()
    design = estimated.rotations[:, :2].double()  # (n, 2, 3): rows x and y of R
    well_oriented = rotation_errors_degrees <= LOST_DEGREES
    weights = well_oriented.double() if well_oriented.sum() >= 3 else torch.ones(len(difference))
    origin, errors = torch.zeros(3, dtype=torch.float64), difference.norm(dim=1)
    for _ in range(_ITERATIONS):
        before = origin
        origin = _fitted_origin(design, difference, weights.double())
        errors = (difference - design @ origin).norm(dim=1)
        scale = (1.5 * errors.median()).clamp_min(1e-6)
        weights = 1.0 / (1.0 + (errors / scale) ** 2) ** 2
        if (origin - before).norm() < 1e-9:
            break
    return ShiftErrors(origin, errors)


def _fitted_origin(
    design: Float[Tensor, "n 2 3"], difference: Float[Tensor, "n 2"], weights: Float[Tensor, " n"]
) -> Float[Tensor, " 3"]:
    normal = torch.einsum("n,nai,naj->ij", weights, design, design)
    right = torch.einsum("n,nai,na->i", weights, design, difference)
    # views that leave a direction undetermined get no displacement along it
    return torch.linalg.pinv(normal, hermitian=True, rtol=1e-9) @ right


def pose_summary(
    estimated: Poses, true: Poses, pixel_size_angstrom: float, symmetry: str
) -> dict[str, Any]:
    """Rotation and shift errors as numbers for JSON."""
    alignment = align_about_any_axis(estimated.rotations, true.rotations, symmetry)
    shifts = shift_errors(estimated, true, alignment.errors_degrees)
    return {
        "particles": len(estimated),
        "hand_flipped": alignment.flipped,
        "rotation_error_degrees": rotation_summary(alignment),
        "shift_error": shift_summary(shifts, alignment, pixel_size_angstrom),
    }


def rotation_summary(alignment: RotationAlignment) -> dict[str, Any]:
    errors = alignment.errors_degrees
    return {
        "mean": float(errors.mean()),
        "median": float(errors.median()),
        "percent_beyond_10": float(100.0 * (errors > LOST_DEGREES).double().mean()),
        "view": _mean_and_median(alignment.view_errors_degrees),
        "in_plane": _mean_and_median(alignment.in_plane_errors_degrees),
    }


def shift_summary(
    shifts: ShiftErrors, alignment: RotationAlignment, pixel_size_angstrom: float
) -> dict[str, Any]:
    """Root mean squares of the 2D error's length, of all and of the well oriented particles."""
    errors = shifts.errors_angstrom
    found = errors[alignment.errors_degrees <= LOST_DEGREES]
    rms = float(errors.square().mean().sqrt())
    rms_found = float(found.square().mean().sqrt()) if len(found) else None
    return {
        "rms_pixel": rms / pixel_size_angstrom,
        "rms_angstrom": rms,
        "median_pixel": float(errors.median()) / pixel_size_angstrom,
        "median_angstrom": float(errors.median()),
        "rms_pixel_within_10_degrees": None
        if rms_found is None
        else rms_found / pixel_size_angstrom,
        "rms_angstrom_within_10_degrees": rms_found,
        "origin_angstrom": shifts.origin_angstrom.tolist(),
    }


def _mean_and_median(errors: Float[Tensor, " n"]) -> dict[str, float]:
    return {"mean": float(errors.mean()), "median": float(errors.median())}
