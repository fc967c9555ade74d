"""States of one model: what is removed or turned, and that all else stays where it is."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from cryospin.errors import UsageError
from cryospin.simulate.atoms import AtomicModel
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.projection import GaussianMolecule
from cryospin.simulate.states import Hinge, hinged, read_structures, selected, without


@pytest.fixture(scope="module")
def model() -> AtomicModel:
    """Three domains of 40 residues: all of chain A, the first and the last half of chain B."""
    molecule = chain_molecule(3, domains=3, residues_per_domain=40)
    chains = np.repeat(["A", "B"], [40, 80])
    return AtomicModel(molecule, chains, np.r_[1:41, -9:71])


def write_model(path: Path) -> None:
    """Residues of chains A and B in two rows."""
    structure, first = gemmi.Structure(), gemmi.Model(1)
    for place, name in enumerate("AB"):
        chain = gemmi.Chain(name)
        for number in range(12):
            residue = gemmi.Residue()
            residue.name, residue.seqid = "ALA", gemmi.SeqId(number + 1, " ")
            atom = gemmi.Atom()
            atom.name, atom.element = "CA", gemmi.Element("C")
            atom.pos = gemmi.Position(4.0 * number, 15.0 * place, 0.3 * number * number)
            residue.add_atom(atom)
            chain.add_residue(residue)
        first.add_chain(chain)
    structure.add_model(first)
    structure.write_pdb(str(path))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("A", 40),
        ("B", 80),
        ("A,B:31-70", 80),
        ("A, B:31-70", 80),
        ("B:-9-30", 40),
        ("B:-9--8", 2),
        ("B:5", 1),
        ("A:40-1000,A:1", 2),
    ],
)
def test_parts_of_a_model(model: AtomicModel, part: str, expected: int) -> None:
    assert selected(model, part).sum() == expected


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("C", "no chain 'C'\n  fix: it has A, B"),
        ("A:41-50", "no residues A:41-50\n  fix: that chain has 1 to 40"),
        ("A,B", "A,B is the whole model"),
        ("", "'' is no part"),
        ("A:x", "'A:x' is no part"),
        ("A:1-", "'A:1-' is no part"),
    ],
)
def test_what_is_no_part_is_refused(model: AtomicModel, part: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        selected(model, part)


def test_what_is_left_stays_where_it_is(model: AtomicModel) -> None:
    left = without(model, "A")
    assert np.array_equal(left.positions_angstrom, model.molecule.positions_angstrom[40:])
    assert np.array_equal(left.weights, model.molecule.weights[40:])
    # so the difference of two projections is the projection of what was removed
    removed = without(model, "B")
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0][None]
    whole, one, other = (
        each.project(turn, np.zeros((1, 2)), 32, 6.0) for each in (model.molecule, left, removed)
    )
    np.testing.assert_allclose(whole - one, other, atol=1e-5 * whole.max())


def test_a_hinge_turns_its_part_about_the_joint(model: AtomicModel) -> None:
    steps = hinged(model, Hinge("A,B:-9-30", steps=8, degrees=45.0))
    moving = selected(model, "A,B:-9-30")
    start = model.molecule.positions_angstrom
    assert len(steps) == 8
    np.testing.assert_allclose(steps[0].positions_angstrom, start, atol=1e-12)
    # the chain is not torn: the residue before the joint stays as near to the one behind it
    before = np.flatnonzero(moving)[-1]
    joint = 0.5 * (start[before] + start[before + 1])
    rest = model.molecule.weights[~moving] @ start[~moving] / model.molecule.weights[~moving].sum()
    axis = (joint - rest) / np.linalg.norm(joint - rest)
    for step in steps:
        turned = step.positions_angstrom
        assert np.array_equal(turned[~moving], start[~moving])
        arms = turned[moving] - joint, start[moving] - joint
        np.testing.assert_allclose(*(np.linalg.norm(arm, axis=1) for arm in arms))
        np.testing.assert_allclose(arms[0] @ axis, arms[1] @ axis, atol=1e-9)
    # two steps of 45 degrees: a right angle, counted as a right-handed screw does
    flat = [arm - np.outer(arm @ axis, axis) for arm in (start[moving] - joint,)][0]
    quarter = steps[2].positions_angstrom[moving] - joint
    np.testing.assert_allclose(
        quarter - np.outer(quarter @ axis, axis), np.cross(axis, flat), atol=1e-9
    )


def test_whole_chains_turn_about_where_they_touch(model: AtomicModel) -> None:
    """No chain leads from the one part into the other."""
    step = hinged(model, Hinge("A", steps=2, degrees=180.0))[1]
    start, moving = model.molecule.positions_angstrom, selected(model, "A")
    apart = np.linalg.norm(start[moving][:, None] - start[~moving][None], axis=2)
    i, j = np.unravel_index(apart.argmin(), apart.shape)
    joint = 0.5 * (start[moving][i] + start[~moving][j])
    moved = step.positions_angstrom[moving][i]
    assert np.linalg.norm(moved - joint) == pytest.approx(np.linalg.norm(start[moving][i] - joint))


def test_a_joint_in_the_centre_of_the_rest_is_refused() -> None:
    positions = np.array([[-1.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0]])
    molecule = GaussianMolecule(positions, np.ones(3), np.ones(3))
    # residues 1 and 2 are joined at the origin, which is where the center of 2 and 9 is
    model = AtomicModel(molecule, np.array(["A", "A", "A"]), np.array([1, 2, 9]))
    with pytest.raises(UsageError, match="joint is the centre"):
        hinged(model, Hinge("A:1", 2))


def test_structures_of_the_command_line(tmp_path: Path) -> None:
    write_model(tmp_path / "m.pdb")
    path = tmp_path / "m.pdb"
    one = read_structures([path], 4.0)
    assert len(one) == 1
    whole, less = read_structures([path], 4.0, remove=["A:1-6"])
    assert isinstance(whole, GaussianMolecule) and isinstance(less, GaussianMolecule)
    assert (len(whole), len(less)) == (24, 18)
    np.testing.assert_allclose(whole.weights @ whole.positions_angstrom, 0, atol=1e-9)
    assert np.array_equal(less.positions_angstrom, whole.positions_angstrom[6:])
    turned = read_structures([path], 4.0, hinge=Hinge("A", 5, 72.0))
    assert len(turned) == 5 and Hinge("A", 5, 72.0).angles_degrees == (0, 72, 144, 216, 288)
    assert len(read_structures([path, path], 4.0)) == 2
    for wrong in (
        lambda: read_structures([path, path], 4.0, remove=["A"]),
        lambda: read_structures([tmp_path / "m.mrc"], 4.0, hinge=Hinge("A")),
        lambda: read_structures([path], 4.0, remove=["A"], hinge=Hinge("A")),
    ):
        with pytest.raises(UsageError, match="fix:"):
            wrong()
