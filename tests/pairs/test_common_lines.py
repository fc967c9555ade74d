"""From images to poses by common lines, and the images that cannot be related."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.errors import BadDataError, UsageError
from cryospin.explore.bounded_search import BoundedSearch
from cryospin.explore.pairwise_start import PairwiseStart
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.pairs.common_lines import CommonLineSolver, Round
from cryospin.particles.spectrum import signal_power
from cryospin.recipes import find_recipe
from cryospin.rotations.align import align_rotations
from cryospin.rotations.symmetry import symmetry_group
from phantoms import Blobs, PlantedParticles

DISK = FourierDisk.of(32, 12.0)
BLOBS = Blobs.random(4, count=20, spread=3.0, sigma=1.0)
SOLVER = CommonLineSolver(rounds=(Round(30, 8.0, 1.0), Round(36, 10.0, 0.3)), first_radius=1.0)
START = PairwiseStart(
    SOLVER,
    images=60,
    radii=(5.0, 7.0),
    search=BoundedSearch(nside=2, in_plane=12, first_radius=4.0, most_candidates=6, detail=1.0),
)
SETTING = Setting(torch.eye(3)[None], 0.0, support_radius=0.4, seed=1)


def planted(shift: float, signal: float = 300.0, count: int = 80) -> PlantedParticles:
    return PlantedParticles.of(BLOBS, DISK, count, seed=3, signal=signal, largest_shift=shift)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_noisy_images_give_their_poses(shift: float) -> None:
    particles = planted(shift)
    found = SOLVER.run(particles.particles, signal_power(particles.particles), shift)
    errors = align_rotations(found.rotations, particles.rotations).errors_degrees
    assert errors.median() < 5.0
    if not shift:
        assert found.shifts_pixel.abs().max() == 0


def test_what_the_explorer_hands_on_is_the_same_each_time() -> None:
    particles = planted(0.0, count=120)
    told: list[str] = []
    first, again = (
        START.run(particles.particles, SETTING, lambda label, *_: told.append(label))
        for _ in range(2)
    )
    assert torch.equal(first.sums.numerator, again.sums.numerator)
    assert first.radius == 7.0 and first.hypotheses is None and first.uncertainty > 0
    assert "first map" in told and any("lines" in label for label in told)


def test_images_that_make_no_pairs() -> None:
    few = planted(0.0, count=49)
    with pytest.raises(BadDataError, match="45 images.*\n.*exhaustive"):
        START.run(few.particles, SETTING)
    same = planted(0.0).particles
    same.coefficients[:] = same.coefficients[:1].clone()
    with pytest.raises(BadDataError, match="all images are the same"):
        START.run(same, SETTING)


def test_a_point_group_is_refused() -> None:
    operators = torch.as_tensor(symmetry_group("C3"), dtype=torch.float32)
    with pytest.raises(UsageError, match="--symmetry C1"):
        START.run(planted(0.0).particles, replace(SETTING, operators=operators))


def test_the_recipe_refines_as_the_default_does() -> None:
    method, default = find_recipe("common-lines"), find_recipe("exhaustive")
    assert isinstance(method.starts.search, PairwiseStart)
    assert method.refinement == default.refinement
