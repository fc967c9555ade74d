"""How far estimated rotations are from the true ones, after the best global frame and hand.

An ab-initio map is found up to a rotation and a mirror, so poses can only be compared
modulo both. For a symmetric particle each pose is moreover free modulo its point group.

The plain SVD mean over all particles fails twice: junk particles pull it, and when symmetry
was not imposed each pose sits at any of the g equivalents, which average out. Hence
candidates from single particles, scored robustly, then a reweighted mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.rotations.symmetry import symmetry_group

MIRROR = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
"""The hand flip of this package: z -> -z, so that projections along z do not change."""

_CANDIDATES = 256
_SAMPLE = 2048
_KEPT = 4
_ITERATIONS = 50
# an error scale between "right" and "lost"; a pose this far off counts half
_SCALE_RADIANS = torch.pi / 18


@dataclass(frozen=True)
class RotationAlignment:
    """`hand(R_est)_i ~ R_true_i S_i G`, with S_i in the point group.

    `hand` is R -> M R M with M = diag(1, 1, -1) where `flipped`, else the identity.

    global_rotation: G. A map made with the estimated poses is V_est(x) = V_true(G x), or
        V_true(G M x) where flipped.
    errors_degrees: geodesic angle between the two sides, per particle, in [0, 180].
    view_errors_degrees: angle between the view directions.
    in_plane_errors_degrees: twist about the view direction that remains, in [0, 180].
    equivalents: index of S_i in `symmetry_group(symmetry)`.
    """

    global_rotation: Float[Tensor, "3 3"]
    flipped: bool
    errors_degrees: Float[Tensor, " n"]
    view_errors_degrees: Float[Tensor, " n"]
    in_plane_errors_degrees: Float[Tensor, " n"]
    equivalents: Int[Tensor, " n"]


def mirror_rotations(rotations: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
    """M R M: the poses that give the same images from the map mirrored by z -> -z.

    With V'(x) = V(M x), the projection of V' along R' = M R M is the integral over z of
    V(M R'^T r) = V(R^T M r), and the integral does not see the sign of z.
    """
    mirror = MIRROR.to(rotations)
    return mirror @ rotations @ mirror


def align_rotations(
    estimated: Float[Tensor, "n 3 3"],
    true: Float[Tensor, "n 3 3"],
    symmetry: str = "C1",
) -> RotationAlignment:
    """The global rotation and hand under which most estimates agree with the truth.

    Deterministic, and indifferent to a large minority of wrong poses: the objective is the
    sum of theta^2 / (theta^2 + c^2) (Geman & McClure 1985). When both hands do equally
    well the unflipped one is taken.

    Raises ValueError for lists of unequal or no length.
    """
    if estimated.shape != true.shape or len(estimated) == 0:
        raise ValueError(
            f"need equally many rotations, got {tuple(estimated.shape)} and {tuple(true.shape)}"
        )
    group = symmetry_group(symmetry)
    operators = roma.rotmat_to_unitquat(group)
    true = true.to(torch.float64)
    sample = _spread(len(true), _SAMPLE)
    best: tuple[float, bool, Tensor, Tensor, Tensor] | None = None
    for flipped in (False, True):
        hand = estimated.to(torch.float64)
        hand = mirror_rotations(hand) if flipped else hand
        relative = roma.rotmat_to_unitquat(true.mT @ hand)  # ~ S_i G
        score, rotation = _search(relative[sample], operators)
        if best is None or score < best[0] - 1e-9:
            best = (score, flipped, rotation, hand, relative)
    assert best is not None
    _, flipped, rotation, hand, relative = best
    rotation = _reweighted_mean(relative, operators, rotation)
    angles, equivalents = _nearest_equivalent(relative, operators, rotation)
    global_rotation = roma.unitquat_to_rotmat(rotation)
    view, in_plane = swing_and_twist_degrees(hand, true @ group[equivalents] @ global_rotation)
    return RotationAlignment(
        global_rotation=global_rotation,
        flipped=flipped,
        errors_degrees=torch.rad2deg(angles),
        view_errors_degrees=view,
        in_plane_errors_degrees=in_plane,
        equivalents=equivalents,
    )


def swing_and_twist_degrees(
    rotations: Float[Tensor, "n 3 3"], others: Float[Tensor, "n 3 3"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Angle between view directions, and the twist about the view axis that is left.

    R_1 R_2^T, which acts in the frame of the image, is a turn about z (twist) followed by
    the shortest turn that carries z where it has to go (swing).
    """
    x, y, z, w = roma.rotmat_to_unitquat(rotations @ others.mT).unbind(-1)
    swing = 2 * torch.atan2(torch.hypot(x, y), torch.hypot(z, w))
    twist = 2 * torch.atan2(z.abs(), w.abs())
    return torch.rad2deg(swing), torch.rad2deg(twist)


def _search(
    relative: Float[Tensor, "n 4"], operators: Float[Tensor, "g 4"]
) -> tuple[float, Float[Tensor, " 4"]]:
    """The q that minimises the robust distance of `relative` to the coset {s q}, and its score.

    Any right particle is itself a good guess at q: with 40 % junk, 256 of them hold more
    than a hundred good guesses.
    """
    candidates = relative[:_CANDIDATES]  # the sample is in random order already
    half_cosines = torch.zeros(len(relative), len(candidates), dtype=relative.dtype)
    for operator in operators:
        orbit = roma.quat_product(operator.expand_as(candidates), candidates)
        half_cosines = torch.maximum(half_cosines, (relative @ orbit.T).abs())
    scores = _robust_loss(_angles(half_cosines)).mean(0)
    results = []
    for index in torch.argsort(scores, stable=True)[:_KEPT]:
        rotation = _reweighted_mean(relative, operators, candidates[index])
        angles, _ = _nearest_equivalent(relative, operators, rotation)
        results.append((float(_robust_loss(angles).mean()), rotation))
    return min(results, key=lambda result: result[0])


def _reweighted_mean(
    relative: Float[Tensor, "n 4"], operators: Float[Tensor, "g 4"], start: Float[Tensor, " 4"]
) -> Float[Tensor, " 4"]:
    """Iteratively reweighted mean of rotations (chordal: Markley et al. 2007, eq. 12 to 13)."""
    rotation = start
    inverses = roma.quat_conjugation(operators)
    for _ in range(_ITERATIONS):
        angles, nearest = _nearest_equivalent(relative, operators, rotation)
        # the scale follows the bulk of the errors, so that the mean is sharp when they are small
        scale = (1.5 * angles.median()).clamp(_SCALE_RADIANS / 10, 2 * _SCALE_RADIANS)
        weights = 1.0 / (1.0 + (angles / scale) ** 2) ** 2
        aligned = roma.quat_product(inverses[nearest], relative)
        moment = (aligned * weights[:, None]).T @ aligned
        updated = torch.linalg.eigh(moment)[1][:, -1]
        unchanged = (updated @ rotation).abs() > 1.0 - 1e-14
        rotation = updated
        if unchanged:
            break
    return rotation


def _nearest_equivalent(
    relative: Float[Tensor, "n 4"], operators: Float[Tensor, "g 4"], rotation: Float[Tensor, " 4"]
) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"]]:
    """Angle to the nearest element of the coset, and which it is."""
    orbit = roma.quat_product(operators, rotation.expand_as(operators))
    half_cosines, nearest = (relative @ orbit.T).abs().max(dim=1)
    return _angles(half_cosines), nearest


def _angles(half_cosines: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    return 2.0 * torch.acos(half_cosines.clamp(max=1.0))


def _robust_loss(angles: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    return angles**2 / (angles**2 + _SCALE_RADIANS**2)


def _spread(length: int, count: int) -> Int[Tensor, " m"]:
    """At most `count` indices, drawn at random since tables can be periodic."""
    return torch.randperm(length, generator=torch.Generator().manual_seed(0))[:count]
