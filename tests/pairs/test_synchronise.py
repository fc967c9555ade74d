"""Orientations from planted relations: exact where they are exact, robust where half are wrong."""

from __future__ import annotations

import pytest
import torch

from cryospin.pairs.planted import planted_common_lines
from cryospin.pairs.relations import (
    CommonLines,
    Relations,
    all_pairs,
    blocks_of_tilts,
    true_common_lines,
    true_relations,
)
from cryospin.pairs.synchronise import Synchronisation, leading
from cryospin.rotations.align import align_rotations, mirror_rotations
from cryospin.simulate.poses import draw_poses
from phantoms import random_turns

SOLVER = Synchronisation()


def errors(found: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    return align_rotations(found, rotations).errors_degrees


def near_equator(count: int) -> torch.Tensor:
    poses = draw_poses(count, max_shift_pixel=0, pixel_size_angstrom=1, views="equator", seed=3)
    return poses.rotations.double()


def test_a_relation_is_the_common_line_and_the_tilt() -> None:
    rotations = random_turns(7, 1)
    lines = true_common_lines(rotations)
    tilt = rotations[:, 2] @ rotations[:, 2].T
    blocks, true = blocks_of_tilts(lines.angles, tilt), true_relations(rotations).blocks
    apart = ~torch.eye(7, dtype=torch.bool)
    torch.testing.assert_close(blocks[apart], true[apart])


def test_relations_do_not_know_the_hand() -> None:
    rotations = random_turns(5, 2)
    one, other = (true_relations(r).blocks for r in (rotations, mirror_rotations(rotations)))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("views", ["uniform", "equator"])
def test_exact_relations_are_solved_exactly(views: str) -> None:
    """The spectral solution alone, whatever the distribution of views."""
    rotations = random_turns(40, 3) if views == "uniform" else near_equator(40)
    spectral = Synchronisation(scales=(), polishes=0, rescues=0)
    blocks = spectral.of_relations(true_relations(rotations))
    lines = spectral.of_common_lines(true_common_lines(rotations))
    assert errors(blocks.rotations, rotations).max() < 1e-4
    assert errors(lines.rotations, rotations).max() < 1e-4
    assert blocks.consistency.min() == lines.consistency.min() == 1.0


def test_exact_relations_stay_solved_through_the_iterations() -> None:
    rotations = near_equator(40)
    for found in (
        SOLVER.of_relations(true_relations(rotations)),
        SOLVER.of_common_lines(true_common_lines(rotations)),
    ):
        assert errors(found.rotations, rotations).max() < 0.1


def test_half_of_the_common_lines_may_be_wrong() -> None:
    rotations, lines = planted_common_lines(150, wrong=0.5, jitter_degrees=3.0, seed=1)
    found = SOLVER.of_common_lines(lines)
    assert errors(found.rotations, rotations).mean() < 1.0
    assert (found.consistency.mean() - 0.5).abs() < 0.03


def test_half_of_the_blocks_may_be_wrong() -> None:
    """Without the wrong ones this noise leaves 1 degree; half as many pairs make it 1.4."""
    count, generator = 100, torch.Generator().manual_seed(1)
    rotations = random_turns(count, 1)
    true = true_relations(rotations)
    first, second = (random_turns(count**2, seed)[:, :2] for seed in (2, 3))
    others = torch.einsum("nax,nbx->nab", first, second).view_as(true.blocks)
    noise = 0.1 * torch.randn(true.blocks.shape, dtype=torch.float64, generator=generator)
    wrong = torch.rand(count, count, generator=generator) < 0.5
    blocks = torch.where(wrong[..., None, None], others, true.blocks + noise)
    upper = torch.ones(count, count).triu(1).bool()[..., None, None]
    relations = Relations(torch.where(upper, blocks, blocks.transpose(0, 1).mT), true.weights)
    assert errors(SOLVER.of_relations(relations).rotations, rotations).mean() < 2.0


def test_lost_images_start_over_among_the_others() -> None:
    """At this share of wrong lines the spectral start leaves many images nowhere."""
    rotations, lines = planted_common_lines(200, wrong=0.85, jitter_degrees=3.0, seed=2)
    plain = Synchronisation(rescues=0).of_common_lines(lines)
    rescued = SOLVER.of_common_lines(lines)
    lost = [int((errors(s.rotations, rotations) > 20).sum()) for s in (plain, rescued)]
    assert lost[1] < 0.5 * lost[0]


def test_consistency_tells_which_images_are_lost() -> None:
    rotations, lines = planted_common_lines(150, wrong=0.5, jitter_degrees=3.0, seed=4)
    junk = torch.arange(150) < 15
    drawn = torch.rand(150, 150, generator=torch.Generator().manual_seed(1)).double() * 6.28
    angles = torch.where(junk[:, None] | junk, drawn, lines.angles)
    found = SOLVER.of_common_lines(CommonLines(angles, all_pairs(150)))
    assert found.consistency[junk].max() < 0.5 * found.consistency[~junk].min()
    assert errors(found.rotations[~junk], rotations[~junk]).mean() < 1.5


def test_leading_eigenvectors_of_a_threefold_eigenvalue() -> None:
    planes = random_turns(200, 5)[:, :2].transpose(0, 1).reshape(400, 3)
    space = torch.linalg.qr(planes)[0]
    found = leading(planes @ planes.T)
    assert (found - space @ (space.T @ found)).norm() < 1e-6
