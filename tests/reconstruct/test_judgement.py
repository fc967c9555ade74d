"""The verdict: what was found twice independently, criterion by criterion."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.reconstruct.cross_check import CrossCheck
from cryospin.reconstruct.judgement import Measures, judge
from cryospin.reconstruct.point_group import SymmetryFound
from cryospin.volumes.alignment import MapAlignment
from cryospin.volumes.point_group import PointGroup, TriedGroup

GOOD = Measures(
    field_angstrom=128.0,
    particles=2000,
    symmetry="C1",
    agreed=True,
    from_a_map=False,
    agreement_shells=12.0,
    half_map_shells=20.0,
    half_views=0.4,
    sampling_compensation=0.98,
    cones=0.9,
    own_mirror=0.5,
    cross=CrossCheck(600, found_again=0.97, believed=0.97, carried_over=0.95, unexplained=0.02),
)


def changed(**fields: object) -> Measures:
    return replace(GOOD, **fields)


def cross(**fields: float) -> CrossCheck:
    assert GOOD.cross is not None
    return replace(GOOD.cross, **fields)


def test_agreement_that_lasts_is_convergence() -> None:
    found = judge(GOOD)
    assert found.converged and found.label == "converged"
    assert len(found.reasons) == 1 and not found.warnings
    assert all(each.passed for each in found.evidence) and len(found.evidence) == 12


@pytest.mark.parametrize(
    "measures, word, says",
    [
        (changed(agreed=False, agreement_shells=4.0), "failed", "only to 32 Angstrom"),
        (changed(agreed=False, agreement_shells=0.0), "failed", "at least one of them is wrong"),
        (changed(half_map_shells=None), "failed", "do not agree (FSC 0.5) to 12 Angstrom"),
        (changed(half_map_shells=7.0), "failed", "do not agree (FSC 0.5) to 12 Angstrom"),
        (changed(half_map_shells=9.0), "ambiguous", "do not agree (FSC 0.5) to 12 Angstrom"),
        (
            changed(half_views=0.05, cross=CrossCheck(600, 0.5, 0.5, 0.9, 0.0)),
            "failed",
            "5 % of the view directions",
        ),
        (changed(cross=cross(found_again=0.4)), "ambiguous", "60 % of the particles"),
        (changed(cross=cross(carried_over=0.2)), "ambiguous", "explains only 20 %"),
        (changed(cross=cross(unexplained=0.5)), "ambiguous", "50 % of the images gain next to"),
        (changed(own_mirror=0.9), "ambiguous", "its own mirror image"),
        (changed(still_rising=1), "ambiguous", "stopped while its maps still explained"),
        (changed(still_rising=2), "ambiguous", "however well the halves agree"),
        (changed(cones=0.1), "ambiguous", "conical FSC"),
        (changed(doubts=("the CTF does not fit",)), "ambiguous", "the CTF does not fit"),
    ],
)
def test_anything_less_is_not(measures: Measures, word: str, says: str) -> None:
    found = judge(measures)
    assert found.label == word and not found.converged
    assert any(says in reason for reason in found.reasons)


def test_failure_outweighs_doubt() -> None:
    found = judge(changed(half_map_shells=5.0, cones=0.1))
    assert found.label == "failed" and len(found.reasons) == 1
    assert sum(not each.passed for each in found.evidence) == 2


def test_what_was_not_measured_is_not_judged() -> None:
    """A run whose halves never agreed is not looked at further."""
    found = judge(
        changed(agreed=False, agreement_shells=3.0, half_map_shells=None, cones=None, cross=None)
    )
    assert [each.name for each in found.evidence] == ["agreement of the first maps"]


@pytest.mark.parametrize(("believed", "words"), [(0.5, "50 %"), (0.63, "63 %"), (0.81, None)])
def test_a_map_may_converge_where_many_poses_do_not(believed: float, words: str | None) -> None:
    found = judge(changed(cross=cross(believed=believed)))
    assert found.converged
    said = [reason for reason in found.reasons if "can be believed" in reason]
    assert len(said) == (words is not None) and all(str(words) in reason for reason in said)
    assert [e.value for e in found.evidence if e.name == "poses that can be believed"] == [believed]


def test_a_map_to_begin_with_is_not_searched_for() -> None:
    names = [each.name for each in judge(changed(from_a_map=True)).evidence]
    assert "searches stopped before their end" not in names


def test_a_start_from_a_map_is_said() -> None:
    found = judge(changed(from_a_map=True, agreement_shells=None))
    assert found.converged and "started from the map given" in found.reasons[0]


def test_preferred_views_are_warned_of() -> None:
    found = judge(changed(half_views=0.19))
    assert found.converged and "preferred orientation" in found.warnings[0]
    # a symmetric particle's views are known only modulo its group: one copy is no preference
    assert not judge(changed(half_views=0.19, symmetry="D7")).warnings


def test_rival_maps_are_warned_of() -> None:
    found = judge(changed(rivals=1))
    assert found.converged and "by another map" in found.warnings[0]
    assert not judge(changed(rivals=0)).warnings


def test_one_view_is_a_warning_where_both_halves_see_it() -> None:
    """90 % of the images from one side: 3JB9 is found so, with its poses."""
    found = judge(changed(half_views=0.04))
    assert found.converged and "preferred orientation" in found.warnings[0]


def looking(name: str, loss: tuple[float, float] | None) -> SymmetryFound:
    unmoved = MapAlignment(torch.eye(3), torch.zeros(3), False, 1.0)
    tried = (TriedGroup("D7", 0.4, 0.2), TriedGroup("C7", 0.98, 0.2))
    return SymmetryFound(PointGroup(name, unmoved, tried, 12.0), loss)


@pytest.mark.parametrize("word", ["converged", "ambiguous"])
def test_a_symmetry_that_was_found_is_said_whatever_the_verdict(word: str) -> None:
    measures = changed(found=looking("C7", (-3.0, 0.5)))
    if word == "ambiguous":
        measures = replace(measures, cross=cross(found_again=0.4))
    found = judge(measures)
    assert found.label == word
    assert "looks C7: run again with --symmetry C7" in found.warnings[0]
    # once imposed there is nothing left to say
    assert not judge(replace(measures, symmetry="C7")).warnings


def test_a_symmetry_that_images_object_to_is_not_recommended() -> None:
    found = judge(changed(found=looking("C7", (3.0, 0.5))))
    assert found.converged and len(found.warnings) == 1
    assert "fit it worse" in found.warnings[0] and "run again" not in found.warnings[0]


def test_a_map_without_symmetry_says_nothing() -> None:
    found = judge(changed(found=looking("C1", None)))
    assert not found.warnings
    assert found.evidence[-1].name == "symmetry of the map" and found.evidence[-1].value == 0.98


def test_few_views_cannot_show_degeneracy() -> None:
    lost = CrossCheck(600, 0.5, 0.5, 0.9, 0.0)
    assert judge(changed(half_views=0.05, particles=500, cross=lost)).label == "ambiguous"
