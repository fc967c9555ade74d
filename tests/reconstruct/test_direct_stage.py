"""The direct stage with several classes: each image finds its class, and its pose in it."""

from __future__ import annotations

import torch

from cryospin.explore.running_map import RunningMap
from cryospin.poses import Assignment, PoseHypotheses
from cryospin.reconstruct.direct_stage import (
    DirectStage,
    best_in_class,
    class_posterior,
    weighed_by_class,
)
from cryospin.volumes.gridded import map_to_volume
from phantoms import angles_degrees, random_turns
from planted_mixture import BOX, SETTING, STATES, SUPPORT, PlantedMixture, accuracy

RADIUS = 8.0


def assignment(seed: int, losses: list[float]) -> Assignment:
    count = len(losses)
    found = Assignment.known(random_turns(count, seed).float(), torch.zeros(count, 2))
    return Assignment(found.rotations, found.shifts_pixel, found.confidence, torch.tensor(losses))


def test_the_best_class_of_each_image_and_how_sure_it_is() -> None:
    found = assignment(1, [1.0, 5.0, 2.0]), assignment(2, [3.0, 4.0, 2.0])
    best = best_in_class(found)
    assert best.loss.tolist() == [1.0, 4.0, 2.0]
    assert torch.equal(
        best.rotations[:2], torch.stack([f.rotations[i] for i, f in enumerate(found)])
    )
    odds = torch.tensor([2.0, -1.0, 0.0]).exp()
    torch.testing.assert_close(class_posterior(found)[:, 0], odds / (1 + odds))


def test_of_one_class_every_image_counts_whole_bit_for_bit() -> None:
    mixture = PlantedMixture.of(STATES[:1], (20,), 1, signal=40.0)
    (half,) = weighed_by_class(mixture.half.particles, [mixture.half.poses])
    assert torch.equal(half.confidence, mixture.half.confidence)
    assert torch.equal(best_in_class([mixture.half.poses]).rotations, mixture.half.rotations)


def test_images_find_their_class_among_candidates_of_all() -> None:
    """Maps of the two states, made of half of the images with the rest in the wrong class."""
    mixture = PlantedMixture.of(STATES[:2], (100, 100), 4, signal=60.0, off_degrees=8.0)
    half, particles = mixture.half, mixture.half.particles
    elsewhere = random_turns(200, 6).float()[:, None]
    candidates = PoseHypotheses(
        torch.cat([elsewhere, half.rotations[:, None]], dim=1), torch.zeros(200, 2, 2)
    )
    volumes = tuple(map_to_volume(blobs.density(BOX).float(), BOX, RADIUS) for blobs in STATES[:2])
    running = RunningMap.of(particles, RADIUS, SUPPORT)
    told: list[float] = []
    sets = DirectStage(rounds=4, choosing=2, first_radius=6.0).run(
        volumes,
        (candidates, candidates),
        particles,
        running,
        SETTING,
        tell=lambda poses, radius: told.append(radius),
    )
    weights = class_posterior([each.poses for each in sets])
    assert accuracy(weights.argmax(dim=1), mixture.numbers) > 0.95
    best = best_in_class([each.poses for each in sets])
    assert angles_degrees(best.rotations, half.rotations).median() < 10.0
    assert told[0] == 6.0 and told[-1] == RADIUS and len(told) == 4
