"""Classes refined side by side: poses and classes sharpen, junk falls out, bits stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryospin.fourier.fsc import shell_sums
from cryospin.fourier.volume import volume_spectrum
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.refinement import ClassedRefinement, class_maps, common_prior, common_reach
from phantoms import angles_degrees, disk_coefficients, in_memory, random_turns
from planted_mixture import BOX, DISK, SETTING, STATES, PlantedMixture, accuracy

METHOD = ClassedRefinement(rounds=3, first_radius=7.0, smallest_radius=5.0)
JUNK = 25  # images of each half that are noise alone


def planted(seed: int, off_degrees: float = 0.0) -> PlantedMixture:
    return PlantedMixture.of(STATES[:2], (100, 100), seed, signal=60.0, off_degrees=off_degrees)


def with_junk(half: ClassedHalf) -> ClassedHalf:
    """The first images replaced by noise."""
    particles = in_memory(half.particles)
    images = particles.coefficients.clone()
    images[:JUNK] = disk_coefficients(JUNK, DISK, 9).to(torch.complex64)
    particles = replace(particles, coefficients=images)
    return ClassedHalf(tuple(replace(s, particles=particles) for s in half.sets), half.weights)


def refined(halves: tuple[ClassedHalf, ClassedHalf], method: ClassedRefinement = METHOD):
    told: list[tuple[int, int]] = []
    found = method.run(halves, SETTING, lambda done, total, _: told.append((done, total)))
    assert told == [(done, method.rounds) for done in range(1, method.rounds + 1)]
    return found


def test_classes_and_poses_sharpen_and_junk_falls_out() -> None:
    truths = planted(1, off_degrees=8.0), planted(2, off_degrees=8.0)
    exact = planted(1), planted(2)
    # an image of ten is in the wrong class
    halves = []
    for truth in truths:
        classed = truth.classed()
        wrong = torch.arange(200) % 10 == 0
        weights = torch.where(wrong[:, None], classed.weights.flip(1), classed.weights)
        halves.append(with_junk(ClassedHalf(classed.sets, weights)))
    found = refined((halves[0], halves[1]))
    for half, truth in zip(found, exact, strict=True):
        assert accuracy(half.numbers[JUNK:].clamp_min(0), truth.numbers[JUNK:]) > 0.97
        assert (half.numbers[:JUNK] < 0).double().mean() > 0.9
        assert (half.numbers[JUNK:] < 0).double().mean() < 0.05
        own = torch.stack([each.rotations for each in half.sets])[truth.numbers, torch.arange(200)]
        assert angles_degrees(own, truth.half.rotations)[JUNK:].median() < 7.0, "from 8 degrees"


def test_strong_images_at_rough_poses_are_not_junk() -> None:
    """What rough poses leave unexplained is much more than noise, but little of the image."""
    halves = with_junk(strong(1).classed()), with_junk(strong(2).classed())
    for half, truth in zip(refined(halves), (strong(1), strong(2)), strict=True):
        assert (half.numbers[JUNK:] < 0).double().mean() < 0.05
        assert (half.numbers[:JUNK] < 0).double().mean() > 0.9
        assert accuracy(half.numbers[JUNK:].clamp_min(0), truth.numbers[JUNK:]) > 0.97


def test_junk_that_may_not_be_any_takes_a_class() -> None:
    """Why junk is looked for at all, and at once."""
    halves = with_junk(strong(1).classed()), with_junk(strong(2).classed())
    for half in refined(halves, replace(METHOD, rounds=5, junk=False)):
        of_junk = half.numbers[:JUNK].mode().values
        assert (half.numbers[:JUNK] == of_junk).double().mean() > 0.9
        assert (half.numbers[JUNK:] == of_junk).double().mean() < 0.1


def strong(seed: int) -> PlantedMixture:
    return PlantedMixture.of(STATES[:2], (100, 100), seed, signal=120.0, off_degrees=4.0)


def test_poses_of_an_image_in_a_class_it_is_not_in_are_left_alone() -> None:
    halves = planted(1, 4.0).classed(), planted(2, 4.0).classed()
    found = refined(halves, replace(METHOD, rounds=1))
    for before, after in zip(halves, found, strict=True):
        for number in range(2):
            out = before.weights[:, number] < METHOD.candidate
            moved = after.sets[number].rotations != before.sets[number].rotations
            assert not moved[out].any() and moved[~out].any()


def test_a_class_of_poor_poses_is_filtered_no_more_than_others() -> None:
    """Its half-maps share next to nothing: filtered by that, its map would explain no image."""
    halves = []
    for seed in (1, 2):
        known = planted(seed).classed()
        lost = known.sets[0].with_poses(rotations=random_turns(200, seed).float())
        halves.append(ClassedHalf((known.sets[0], lost), known.weights))
    maps, limits = class_maps((halves[0], halves[1]), 7.0, SETTING)
    assert limits[1] < 5.0 < 6.0 < limits[0]

    def beyond(density: torch.Tensor) -> float:
        """Its power where the half-maps of the other agree better."""
        return float(shell_sums(volume_spectrum(density).abs().square())[4:7].sum())

    for good, poor in maps:
        assert beyond(poor) > 0.1 * beyond(good)


def test_the_common_prior_is_of_the_mean_power_and_an_empty_class_has_none() -> None:
    priors = torch.tensor([[1.0, 4.0, 0.0], [2.0, 0.0, 0.0]])
    found = common_prior(priors, torch.tensor([0.5, 0.4, 0.0]))
    wanted = torch.tensor([1 / ((0.5 + 0.4 / 4) / 0.9), 1 / (0.25 / 0.9)])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=0)
    assert torch.isfinite(common_prior(torch.zeros(2, 1), torch.zeros(1))).all()


def test_without_junk_every_image_is_in_a_class() -> None:
    halves = with_junk(planted(1).classed()), with_junk(planted(2).classed())
    found = refined(halves, replace(METHOD, rounds=1, junk=False))
    for half in found:
        torch.testing.assert_close(half.weights.sum(dim=1), torch.ones(200))
        assert (half.numbers >= 0).all()


def test_a_class_that_is_no_structure_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its half-maps, of images at random orientations, agree to nothing: compared within what they
    agree to, classes would be told apart by their lowest frequencies alone."""
    radii: list[float] = []
    real = ClassedRefinement._refined

    def refined_at(self, half, maps, radius, shift_range):
        radii.append(radius)
        return real(self, half, maps, radius, shift_range)

    monkeypatch.setattr(ClassedRefinement, "_refined", refined_at)
    halves = []
    for seed in (1, 2):
        known = planted(seed).classed()
        lost = known.sets[0].with_poses(rotations=random_turns(200, seed).float())
        weights = torch.cat([0.9 * known.weights, torch.full((200, 1), 0.1)], dim=1)
        halves.append(ClassedHalf((*known.sets, lost), weights))
    refined((halves[0], halves[1]), replace(METHOD, rounds=1))
    assert min(radii) > 6.5
    assert common_reach([9.0, 2.0, 11.0], 8.0) == 9.0
    assert common_reach([2.0, 3.0], 8.0) == 0.0


def test_maps_of_the_classes_and_how_far_they_agree() -> None:
    halves = planted(1).classed(), planted(2).classed()
    maps, limits = class_maps(halves, 8.0, SETTING)
    assert [len(own) for own in maps] == [2, 2] and len(limits) == 2
    assert min(limits) > 6.5
    for number, blobs in enumerate(STATES[:2]):
        true = blobs.density(len(maps[0][0]), BOX).float()
        for own in maps:
            error = [
                torch.nn.functional.cosine_similarity(own[c].flatten(), true.flatten(), 0)
                for c in range(2)
            ]
            assert int(torch.stack(error).argmax()) == number and error[number] > 0.9


def test_is_reproducible() -> None:
    method = replace(METHOD, rounds=1)
    ends = [refined((planted(1).classed(), planted(2).classed()), method) for _ in range(2)]
    for one, other in zip(*ends, strict=True):
        assert torch.equal(one.weights, other.weights)


def test_a_class_without_images_stays_as_it_is() -> None:
    """In one half or both: none of its poses is refined."""
    halves = planted(1).classed(), planted(2).classed()
    starved = ClassedHalf(halves[0].sets, torch.tensor([[0.999, 0.001]]).expand(200, 2))
    found = refined((starved, halves[1]), replace(METHOD, rounds=1))
    assert found[0].sets[1] is starved.sets[1]
