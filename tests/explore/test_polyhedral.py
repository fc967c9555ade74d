"""Noisy images of an octahedral particle, off the centres of their boxes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cryospin.explore.exhaustive import ExhaustiveSearch
from cryospin.explore.exploration import Exploration, unheard
from cryospin.explore.patience import Patience
from cryospin.explore.polyhedral import PolyhedralSearch, polyhedral
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk
from cryospin.journal.journal import UNRECORDED
from cryospin.particles.spectrum import information_per_image
from cryospin.rotations.align import mirror_rotations
from cryospin.rotations.symmetry import symmetry_group
from phantoms import Blobs, PlantedParticles, angles_degrees

BOX, DISK = 32, FourierDisk.of(32, 10.0)
OPERATORS = symmetry_group("O").float()
SETTING = Setting(OPERATORS, 2.0, 0.4, seed=1, shared_seed=1)
SEARCH = PolyhedralSearch(
    starts=3,
    centring=Patience(first_radius=4.0, held=1.0, shortest_march=6, longest_march=6),
    centring_radius=5.0,
    patience=Patience(
        first_radius=5.0, held=1.0, temperature=0.4, shortest_march=12, longest_march=12
    ),
    last_radius=8.0,
    nside=5,
)


def octahedral() -> Blobs:
    """A shell of 24 blobs on the edges of a cube, and weaker ones at its corners."""
    of_unit = torch.tensor([[5.0, 5.0, 1.5], [4.5, 4.5, 4.5]], dtype=torch.float64)
    positions = torch.einsum("sij,bj->bsi", OPERATORS.double(), of_unit).reshape(-1, 3)
    weights = torch.tensor([1.0, 0.5], dtype=torch.float64).repeat_interleave(24)
    return Blobs(positions, weights, torch.full((48,), 1.2, dtype=torch.float64))


@pytest.fixture(scope="module")
def planted() -> PlantedParticles:
    return PlantedParticles.of(octahedral(), DISK, 200, 3, signal=6.0, largest_shift=2.0)


@pytest.fixture(scope="module")
def found(planted: PlantedParticles) -> Exploration:
    nats = information_per_image(planted.particles, 5.0)
    return SEARCH.run(planted.particles, SETTING, nats, unheard, UNRECORDED)


def errors_degrees(rotations: Tensor, true: Tensor) -> Tensor:
    """Of poses about the group's own axes, in the better hand."""
    mates = true.float()[:, None] @ OPERATORS
    hands = [
        angles_degrees(each[:, None].expand_as(mates), mates).amin(dim=1)
        for each in (rotations, mirror_rotations(rotations))
    ]
    return min(hands, key=lambda errors: float(errors.median()))


def test_poses_are_found(planted: PlantedParticles, found: Exploration) -> None:
    """Of each image four that are apart. The best errs far less than chance, which is 42 degrees,
    and its shift far less than the center of the box, which is 1.5 pixels."""
    assert found.radius == 8.0 and len(found.scores) == 3
    hypotheses = found.hypotheses
    assert hypotheses is not None and hypotheses.rotations.shape == (200, 4, 3, 3)
    assert errors_degrees(hypotheses.rotations[:, 0], planted.rotations).median() < 28
    off = hypotheses.shifts_pixel[:, 0] - planted.shifts_pixel.float()
    assert off.norm(dim=1).median() < 0.6


def test_starts_differ_and_are_the_seed_s(planted: PlantedParticles, found: Exploration) -> None:
    assert len(set(found.scores)) == 3
    nats = information_per_image(planted.particles, 5.0)
    again = SEARCH.run(planted.particles, SETTING, nats, unheard, UNRECORDED)
    assert again.scores == found.scores and again.sums.numerator.equal(found.sums.numerator)


@pytest.mark.parametrize("group", ["C1", "C7", "D2", "D7", "D12"])
def test_a_group_with_an_axis_of_its_own(group: str) -> None:
    assert not polyhedral(symmetry_group(group))


@pytest.mark.parametrize("group", ["T", "O", "I1", "I2", "I3", "I4"])
def test_a_group_of_a_polyhedron(group: str) -> None:
    assert polyhedral(symmetry_group(group))


@pytest.mark.parametrize(
    ("group", "noisy", "asked"), [("O", True, 1), ("D7", True, 0), ("O", False, 0)]
)
def test_who_is_searched_so(
    planted: PlantedParticles,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    noisy: bool,
    asked: int,
) -> None:
    """Noisy images of particles with the symmetry of a polyhedron."""
    seen = []

    class OtherError(Exception):
        pass

    def other(*given: object) -> None:
        raise OtherError

    def search_of_polyhedra(*given: object) -> None:
        seen.append(given)
        raise OtherError

    monkeypatch.setattr(PolyhedralSearch, "run", search_of_polyhedra)
    monkeypatch.setattr(ExhaustiveSearch, "_patient", other)
    monkeypatch.setattr(ExhaustiveSearch, "_raced", other)
    search = ExhaustiveSearch(patience=Patience(below_nats=1e9 if noisy else 0.0))
    setting = Setting(symmetry_group(group).float(), 2.0, 0.4)
    with pytest.raises(OtherError):
        search.run(planted.particles, setting)
    assert len(seen) == asked
