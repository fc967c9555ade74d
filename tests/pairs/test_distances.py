"""Distances between orientations: their gradients, and what they cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from cryospin.pairs.distances import (
    DistanceRecovery,
    distances_between,
    error_modulo_distances_degrees,
    feature_distance,
    quaternion_distance,
)
from cryospin.pairs.relations import true_relations
from phantoms import angles_degrees, random_turns

ROTATIONS = random_turns(60, 1)
QUATERNIONS = roma.rotmat_to_unitquat(ROTATIONS)


def test_the_distance_is_the_angle_and_forgets_the_sign() -> None:
    one, other = QUATERNIONS[:30], QUATERNIONS[30:]
    expected = torch.deg2rad(angles_degrees(ROTATIONS[:30], ROTATIONS[30:]))
    torch.testing.assert_close(quaternion_distance(one, other), expected)
    torch.testing.assert_close(quaternion_distance(one, -other), expected)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, np.pi - 1e-9, np.pi])
def test_gradients_are_finite_at_either_end(angle: float) -> None:
    """And have the length 2 of dd/dq everywhere else."""
    first = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    second = torch.tensor([[np.sin(angle / 2), 0.0, 0.0, np.cos(angle / 2)]])
    distance = quaternion_distance(first, second)
    (gradient,) = torch.autograd.grad(distance.sum(), first)
    assert distance.item() == pytest.approx(angle, abs=1e-7)
    tangent = gradient[0, :3].norm().item()
    assert tangent == pytest.approx(0.0 if angle == 0.0 else 2.0, abs=1e-6)
    (gradient,) = torch.autograd.grad(feature_distance(first, second).sum(), first)
    assert torch.isfinite(gradient).all()


def test_recovery_up_to_the_orthogonal_group() -> None:
    found = DistanceRecovery(starts=2, steps=800).run(distances_between(ROTATIONS), seed=1)
    assert error_modulo_distances_degrees(found, QUATERNIONS).mean() < 0.5


def test_of_several_starts_that_counts_whose_distances_are_nearest() -> None:
    blurred = distances_between(ROTATIONS) + 0.5 * torch.randn(
        60, 60, generator=torch.Generator().manual_seed(1)
    )

    def misfit(starts: int, seed: int) -> float:
        found = DistanceRecovery(starts=starts, steps=40).run(blurred, seed)
        own = distances_between(roma.unitquat_to_rotmat(found))
        return float((own - blurred).square().mean())

    gains = [misfit(1, seed) - misfit(3, seed) for seed in range(4)]
    assert min(gains) >= 0.0 and max(gains) > 1e-3


def test_distances_cannot_tell_left_or_right_turns_or_transposition() -> None:
    """The relation S_ij can: only the turn on the right leaves it as it is."""
    turn = random_turns(1, 5)
    distances, blocks = distances_between(ROTATIONS), true_relations(ROTATIONS).blocks
    changes = {"right": ROTATIONS @ turn, "left": turn @ ROTATIONS, "transposed": ROTATIONS.mT}
    for name, changed in changes.items():
        torch.testing.assert_close(distances_between(changed), distances, atol=1e-7, rtol=0)
        same = torch.allclose(true_relations(changed).blocks, blocks)
        assert same == (name == "right")


def test_the_modulus_of_the_product_is_no_kernel() -> None:
    """cos(d_q / 2) = |<q, q'>| has negative eigenvalues, so no features have it as cosine."""
    gram = (QUATERNIONS @ QUATERNIONS.T).abs()
    assert torch.linalg.eigvalsh(gram)[0] < -0.1


def test_the_best_cosine_of_features_misses_by_0_149() -> None:
    """Invariant kernels are k = sum_l c_l chi_l / (2 l + 1), c_l >= 0 of sum 1, with the
    characters of SO(3). Mean |2 arccos k - d_q| over pairs uniform in d_q, as they are trained."""
    angle = torch.linspace(0, np.pi, 2001, dtype=torch.float64)[1:]
    characters = torch.stack(
        [torch.sin((n + 0.5) * angle) / torch.sin(0.5 * angle) / (2 * n + 1) for n in range(12)]
    )

    def mean_errors(weights: torch.Tensor) -> torch.Tensor:
        kernels = (weights @ characters).clamp(0.0, 1.0)
        return (2 * torch.acos(kernels) - angle).abs().mean(dim=-1)

    share = torch.linspace(0, 1, 1001, dtype=torch.float64)
    weights = torch.zeros(1001, 12, dtype=torch.float64)
    weights[:, 0], weights[:, 1] = share, 1 - share
    errors = mean_errors(weights)
    assert errors.min().item() == pytest.approx(0.149, abs=5e-4)
    # no other degree helps
    best = weights[errors.argmin()]
    assert (mean_errors(0.99 * best + 0.01 * torch.eye(12).double())[2:] > errors.min()).all()
