"""Which structure each image shows: fractions, junk, one scale, no draw that depends on others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.errors import UsageError
from cryospin.simulate.maps import map_molecule
from cryospin.simulate.mixture import Mixture, draw_mixture
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import DensityMap

PIXEL = 5.0
MOLECULES = tuple(chain_molecule(seed, domains=2, residues_per_domain=40) for seed in range(3))
COUNT = 4000


def fractions_of(mixture: Mixture) -> np.ndarray:
    return np.bincount(mixture.shown + 1, minlength=len(mixture.molecules) + 1) / len(mixture.shown)


def test_fractions_and_junk() -> None:
    mixture = draw_mixture(MOLECULES, COUNT, PIXEL, seed=2, fractions=(6.0, 3.0, 1.0), junk=0.25)
    # three standard deviations of a draw of 4,000
    np.testing.assert_allclose(fractions_of(mixture), [0.25, 0.45, 0.225, 0.075], atol=0.02)
    assert mixture.junk and not mixture.plain
    equal = draw_mixture(MOLECULES, COUNT, PIXEL, seed=2)
    np.testing.assert_allclose(fractions_of(equal), [0.0, 1 / 3, 1 / 3, 1 / 3], atol=0.025)
    assert (
        not equal.junk
        and (equal.shown == draw_mixture(MOLECULES, COUNT, PIXEL, seed=2).shown).all()
    )


def test_a_particle_does_not_depend_on_those_after_it() -> None:
    few = draw_mixture(MOLECULES, 50, PIXEL, seed=4, junk=0.2)
    many = draw_mixture(MOLECULES, 200, PIXEL, seed=4, junk=0.2)
    assert np.array_equal(few.shown, many.shown[:50])
    # less junk leaves the structures of those that show one
    less = draw_mixture(MOLECULES, 200, PIXEL, seed=4, junk=0.1)
    both = many.shown >= 0
    assert np.array_equal(less.shown[both], many.shown[both])


def test_classes_and_words() -> None:
    shown = np.array([0, -1, 2, 1, 2])
    classes = Mixture(MOLECULES, shown).classes
    assert classes.number.tolist() == [0, -1, 2, 1, 2] and classes.posterior is None
    assert Mixture(MOLECULES, shown).in_words == (
        "class 1: 1, class 2: 1, class 3: 2, junk: 1 particles"
    )
    # conformations are of one class
    turned = Mixture(MOLECULES, shown, (0.0, 10.0, 20.0))
    assert turned.classes.number.tolist() == [0, -1, 0, 0, 0]
    assert turned.in_words == "3 conformations: 4, junk: 1 particles"
    assert Mixture(MOLECULES[:1], np.zeros(3, int)).plain
    assert turned.radius_angstrom == max(each.radius_angstrom for each in MOLECULES)


def test_maps_of_any_unit_come_to_one_scale() -> None:
    """Whatever a map's numbers are, it has the mass that a model of its size has."""
    values = torch.from_numpy(MOLECULES[0].voxelize(32, PIXEL))
    made = [
        draw_mixture([map_molecule(DensityMap(values * unit, PIXEL), PIXEL)], 5, PIXEL, seed=1)
        for unit in (1.0, 1e-4)
    ]
    one, other = (each.molecules[0].voxelize(32, PIXEL) for each in made)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * one.max())
    # made-up chains are packed closer than the proteins it goes by
    model = MOLECULES[0].voxelize(32, PIXEL)
    assert one.sum() / model.sum() == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fractions": (0.5, 0.5)}, "3 positive numbers"),
        ({"fractions": (0.5, 0.5, 0.0)}, "3 positive numbers"),
        ({"fractions": (0.5, 0.5, float("nan"))}, "3 positive numbers"),
        ({"junk": 1.0}, "--junk 1 is no fraction"),
        ({"junk": -0.1}, "--junk -0.1 is no fraction"),
        ({"junk": 0.9999}, "no particle is left"),
        ({"angles_degrees": (0.0,)}, "1 angles for 3 structures"),
    ],
)
def test_what_makes_no_mixture_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        draw_mixture(MOLECULES, 10, PIXEL, seed=1, **arguments)
