"""Curves of planted poses: errors are what was planted, resolution improves with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryospin.bench.curves import Truth, curves_of, heads_of
from cryospin.bench.datasets import Dataset
from cryospin.bench.epochs import shared_epochs
from cryospin.bench.watched import Watched


@pytest.fixture(scope="module")
def truth(dataset: Dataset, watched: Watched) -> Truth:
    return Truth.of(dataset, watched.uids)


def test_errors_and_resolution(truth: Truth, watched: Watched) -> None:
    """A common turn is no error; the map of better poses is better."""
    found = curves_of(watched, truth)
    # the frame is fitted to few poses: to a fraction of their scatter
    assert found.median_degrees[1:] == pytest.approx([20, 2], rel=0.25)
    assert found.resolution_angstrom[2] < found.resolution_angstrom[1]
    assert found.resolution_angstrom[2] < 16


def test_the_order_of_particles_does_not_matter(truth: Truth, watched: Watched) -> None:
    last = replace(watched, rotations=watched.rotations[2:], shifts_pixel=watched.shifts_pixel[2:])
    order = np.random.default_rng(0).permutation(len(watched.uids))
    rows = torch.as_tensor(order)
    turned = replace(
        last,
        uids=tuple(watched.uids[i] for i in order),
        rotations=last.rotations[:, rows],
        shifts_pixel=last.shifts_pixel[:, rows],
    )
    one, other = curves_of(last, truth), curves_of(turned, Truth.of(truth.dataset, turned.uids))
    assert one.median_degrees == pytest.approx(other.median_degrees, rel=0.05)
    assert one.resolution_angstrom == pytest.approx(other.resolution_angstrom, rel=0.05)


def test_heads(truth: Truth, watched: Watched) -> None:
    heads = heads_of(watched, truth)
    assert heads is not None
    count = len(watched.uids)
    assert heads.winners.tolist() == [i % 3 for i in range(count)]
    assert heads.share == pytest.approx(1 / 3)
    won = heads.errors_degrees[np.arange(count), heads.winners]
    assert np.median(won) < 3 and np.median(heads.errors_degrees) > 60
    assert np.linalg.norm(heads.directions, axis=-1) == pytest.approx(1, abs=1e-5)
    assert heads_of(replace(watched, candidates=None), truth) is None


def test_the_pose_a_particle_ended_at_is_no_head(truth: Truth, watched: Watched) -> None:
    assert watched.candidates is not None
    with_end = torch.cat([watched.rotations[-1][:, None], watched.candidates], dim=1)
    heads = heads_of(replace(watched, candidates=with_end), truth)
    assert heads is not None and heads.share == pytest.approx(1 / 3)


def test_epochs_in_common(watched: Watched) -> None:
    other = watched.rotations.clone()
    other[2, 0] = torch.eye(3)
    assert shared_epochs(watched, watched) == 3
    assert shared_epochs(watched, replace(watched, rotations=other)) == 2
