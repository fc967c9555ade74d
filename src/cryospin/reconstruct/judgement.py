"""Converged, ambiguous or failed, in words. A low loss proves nothing here; what was found
twice independently does.

Every criterion and its limit stands in the evidence, whatever the verdict; limits were set
on simulated runs that succeed and fail (docs/verdicts.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryospin.reconstruct.cross_check import CrossCheck
from cryospin.reconstruct.point_group import SymmetryFound
from cryospin.reconstruct.result import AMBIGUOUS, CONVERGED, FAILED, Evidence, Verdict

# maps that have less than this in common: at least one is wrong
_LEAST_FOUND_SHELLS = 8.0
# A shell of one size and symmetry agrees with another by itself: from scratch, real apoferritin
# ends in a wrong map whose halves share FSC 0.5 to shell 9.8 and 0.143 to 12.3.
_LEAST_SHELLS = 10.5
# views this few are how a wrong map explains all images, unless the other half's map agrees
_DEGENERATE = 0.06
_ENOUGH_VIEWS = 1200
# 90 % of views within 20 degrees of a great circle give 0.19, even views 0.35 to 0.45
_PREFERRED = 0.27
_FOUND_AGAIN = 0.75
_CARRIED_OVER = 0.5
_CONES_ALIKE = 0.3
_UNEXPLAINED = 0.25
_MOST_POSES = 0.8
# proteins have 0.3 to 0.65 (fewer shells: more), featureless maps 0.95
_OWN_MIRROR = 0.8


@dataclass(frozen=True)
class Measures:
    """What a run is judged by; None where it could not be measured.

    agreement_shells: Fourier pixels to which the first maps of the halves share FSC 0.5.
    half_map_shells: the same after refinement. half_views: share of the sphere that holds half
    of the views. cones: area under the worst over that under the best conical FSC.
    own_mirror: mean FSC of the map with its own mirror image.
    rivals: random starts that explain held-out images as well as the best by another map.
    found: what half-maps and images say of the symmetry, where none was given.
    still_rising: halves whose search was stopped while its maps still explained the images better.
    doubts: what the audit of the data holds against them, in words.
    """

    field_angstrom: float
    particles: int
    symmetry: str
    agreed: bool
    from_a_map: bool
    agreement_shells: float | None
    half_map_shells: float | None
    half_views: float | None
    sampling_compensation: float | None = None
    cones: float | None = None
    own_mirror: float | None = None
    cross: CrossCheck | None = None
    rivals: int | None = None
    still_rising: int = 0
    doubts: tuple[str, ...] = ()
    found: SymmetryFound | None = None


def judge(measures: Measures) -> Verdict:
    """Two maps found independently must agree, well beyond what any two blobs share, and each
    must put the other's particles where they are."""
    evidence = tuple(_evidence(measures))
    failures = [each.words for each in evidence if each.counts == FAILED and not each.passed]
    doubts = [each.words for each in evidence if each.counts == AMBIGUOUS and not each.passed]
    warnings = [each.words for each in evidence if each.counts == "warning" and not each.passed]
    doubts += measures.doubts
    if failures:
        return Verdict(FAILED, tuple(failures), tuple(warnings), evidence)
    if doubts:
        return Verdict(AMBIGUOUS, tuple(doubts), tuple(warnings), evidence)
    how = (
        "both half-sets were started from the map given, so this says less than from scratch"
        if measures.from_a_map
        else "two maps found from half the particles each, independently, agree"
    )
    return Verdict(CONVERGED, (how, *_on_poses(measures)), tuple(warnings), evidence)


def _on_poses(measures: Measures) -> Iterator[str]:
    """Where it is fewer than most: a map is an average, and can be right where many poses are
    not."""
    if measures.cross is not None and measures.cross.believed < _MOST_POSES:
        yield (
            f"it is the map that converged: about {100 * measures.cross.believed:.0f} % of the "
            "single poses can be believed (to 10 degrees, by their probability in the other half's "
            "map), the other images are too noisy to tell"
        )


def _evidence(m: Measures) -> Iterator[Evidence]:
    if not m.from_a_map:
        reached = m.agreement_shells or 0.0
        yield Evidence(
            "agreement of the first maps",
            reached,
            "shells at FSC 0.5",
            _LEAST_FOUND_SHELLS,
            m.agreed,
            FAILED,
            "the maps found from the two half-sets agree (FSC 0.5) only to "
            f"{m.field_angstrom / max(reached, 1e-3):.0f} Angstrom: at least one of them is wrong",
        )
    if not m.agreed:
        return
    shells = m.half_map_shells or 0.0
    yield Evidence(
        "agreement of the half-maps",
        shells,
        "shells at FSC 0.5",
        _LEAST_SHELLS,
        shells >= _LEAST_SHELLS,
        AMBIGUOUS if shells >= _LEAST_FOUND_SHELLS else FAILED,
        "after refinement the half-maps do not agree (FSC 0.5) to "
        f"{m.field_angstrom / _LEAST_SHELLS:.0f} Angstrom, which two different particles of one "
        "size may reach",
    )
    if not m.from_a_map:
        yield Evidence(
            "searches stopped before their end",
            m.still_rising,
            "half-sets",
            0,
            m.still_rising == 0,
            AMBIGUOUS,
            "the search for a map was stopped while its maps still explained the images better "
            "from round to round: where it would have ended is not known, however well the halves "
            "agree; more images, or a mask closer to the particle, bring it there sooner",
        )
    if m.rivals is not None:
        yield Evidence(
            "rival maps among the random starts",
            m.rivals,
            "starts",
            0,
            m.rivals == 0,
            "warning",
            f"{m.rivals} of the random starts explained held-out images as well as the best, by "
            "another map",
        )
    if m.half_views is not None and m.symmetry == "C1":
        percent = f"{100 * m.half_views:.0f} %"
        found_again = m.cross is not None and m.cross.found_again >= _FOUND_AGAIN
        if m.particles > _ENOUGH_VIEWS:
            yield Evidence(
                "directions that hold half of the views",
                m.half_views,
                "share of the sphere",
                _DEGENERATE,
                m.half_views >= _DEGENERATE or found_again,
                FAILED,
                f"half of the particles were given {percent} of the view directions, and the "
                "other half's map gives them others: a map that explains images so is not of the "
                "particle",
            )
        yield Evidence(
            "evenness of the views",
            m.half_views,
            "share of the sphere that holds half of them",
            _PREFERRED,
            m.half_views >= _PREFERRED,
            "warning",
            f"preferred orientation: half of the particles look along {percent} of the "
            "directions (about 45 % when even); expect the map to be smeared along the others",
        )
    if m.sampling_compensation is not None:
        yield Evidence(
            "sampling compensation factor",
            m.sampling_compensation,
            "1 for even views",
            None,
            True,
            "warning",
            "how evenly the views measure all frequencies (Baldwin and Lyumkis 2020)",
        )
    if m.cones is not None:
        yield Evidence(
            "worst over best conical FSC",
            m.cones,
            "ratio of areas",
            _CONES_ALIKE,
            m.cones >= _CONES_ALIKE,
            AMBIGUOUS,
            "the half-maps agree along some directions and not along others (conical FSC, "
            f"worst over best {m.cones:.2f}): along those the map cannot be told from noise",
        )
    if m.own_mirror is not None:
        yield Evidence(
            "likeness of the map and its mirror image",
            m.own_mirror,
            "mean FSC",
            _OWN_MIRROR,
            m.own_mirror <= _OWN_MIRROR,
            AMBIGUOUS,
            "as far as the half-maps agree the map is its own mirror image: proteins are not, so "
            "either no detail is resolved or images of both hands are mixed",
        )
    if m.cross is not None:
        lost = f"{100 * (1 - m.cross.found_again):.0f} %"
        yield Evidence(
            "poses found again in the other half's map",
            m.cross.found_again,
            "share",
            _FOUND_AGAIN,
            m.cross.found_again >= _FOUND_AGAIN,
            AMBIGUOUS,
            f"{lost} of the particles would be put elsewhere by the other half's map: the halves "
            "agree on a map that is not made of right poses alone",
        )
        yield Evidence(
            "poses that can be believed",
            m.cross.believed,
            "share",
            None,
            True,
            "warning",
            "their mean probability, by the other half's map and to within 10 degrees",
        )
        yield Evidence(
            "what images gain in the other half's map",
            m.cross.carried_over,
            "of what they gain in their own",
            _CARRIED_OVER,
            m.cross.carried_over >= _CARRIED_OVER,
            AMBIGUOUS,
            f"the other half's map explains only {100 * m.cross.carried_over:.0f} % of what "
            "their own map explains of the images: the rest is noise fitted",
        )
        yield Evidence(
            "images that the other half's map hardly explains",
            m.cross.unexplained,
            "share",
            _UNEXPLAINED,
            m.cross.unexplained <= _UNEXPLAINED,
            AMBIGUOUS,
            f"{100 * m.cross.unexplained:.0f} % of the images gain next to nothing from the map: "
            "they are of something else, and may have bent it; sort them out",
        )
    if m.found is not None:
        yield from _of_symmetry(m.found, m.symmetry)


def _of_symmetry(found: SymmetryFound, imposed: str) -> Iterator[Evidence]:
    group = found.in_the_map
    looks = group.name != "C1"
    kept = max((each.kept for each in group.tried), default=0.0)
    yield Evidence(
        "symmetry of the map",
        group.tried[-1].kept if looks else kept,
        f"share of the half-maps' agreement that operators of {group.name} keep"
        if looks
        else "largest share of the half-maps' agreement that a group's operators keep",
        None,
        found.name == imposed,
        "warning",
        "the map has none of the point groups that were looked for"
        if found.name == "C1"
        else f"the map looks {found.name}: run again with --symmetry {found.name} "
        "(or --symmetry auto, which finds it and refines with it)",
    )
    if found.loss is not None:
        mean, error = found.loss
        yield Evidence(
            "what images lose where that symmetry is imposed",
            mean,
            f"nats an image in the other half's map, give or take {error:.2g}",
            found.objection,
            not found.images_object,
            "warning",
            f"the map looks {group.name}, but its images fit it worse with that symmetry imposed: "
            "it is nearly there at this resolution, and not imposing it is right",
        )
