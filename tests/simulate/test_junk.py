"""Junk: every kind is what it says, on the scale of the structures beside it."""

from __future__ import annotations

import numpy as np
import pytest

from cryospin.simulate.junk import KINDS, junk_image, junk_kind
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.transfer import draw_ctf, neutral_ctf

BOX, PIXEL, SEED = 48, 5.0, 3
MOLECULE = chain_molecule(1, domains=4, residues_per_domain=60)


def images_of(kind: str, count: int = 12) -> np.ndarray:
    indices = [i for i in range(400) if junk_kind(SEED, i) == kind][:count]
    ctf = neutral_ctf(1)
    return np.stack([junk_image([MOLECULE], ctf, SEED, i, BOX, PIXEL) for i in indices])


def test_each_kind_is_as_frequent_as_the_others() -> None:
    kinds = [junk_kind(SEED, i) for i in range(2000)]
    counts = [kinds.count(kind) for kind in KINDS]
    # four standard deviations
    assert sum(counts) == 2000 and max(abs(count - 400) for count in counts) < 75


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_image_again_and_another_for_another_particle(kind: str) -> None:
    images, again = images_of(kind), images_of(kind)
    assert images.dtype == np.float32 and images.shape == (12, BOX, BOX)
    assert np.isfinite(images).all() and np.array_equal(images, again)
    assert (images.std(axis=(1, 2)) > 0).all() != (kind == "empty")
    if kind != "empty":
        assert not any(np.array_equal(images[0], other) for other in images[1:])


def test_aggregates_are_of_all_sizes_and_of_proteins_contrast() -> None:
    images = images_of("aggregate", 40)
    mass = images.sum(axis=(1, 2)) / MOLECULE.weights.sum()
    assert mass.min() < 0.15 and mass.max() > 0.8
    one = MOLECULE.project(np.eye(3)[None], np.zeros((1, 2)), BOX, PIXEL)
    assert 0.3 < np.median(images.max(axis=(1, 2))) / one.max() < 3.0


def test_pieces_lie_at_the_border() -> None:
    images = images_of("piece")
    axis = np.abs(np.arange(BOX) - BOX // 2)
    far = np.maximum(axis[:, None], axis[None, :])
    for image in images:
        assert (image * far).sum() / image.sum() > 0.25 * BOX
        assert image.sum() < 0.9 * MOLECULE.weights.sum()


def test_edges_have_two_sides_and_ice_a_slope() -> None:
    for image in images_of("edge"):
        low, high = np.percentile(image, [2, 98])
        between = ((image > 0.8 * low + 0.2 * high) & (image < 0.4 * low + 0.6 * high)).mean()
        assert between < 0.3
    for image in images_of("ice"):
        steps = np.abs(np.diff(image, axis=0)).max(), np.abs(np.diff(image, axis=1)).max()
        assert max(steps) < 0.25 * np.ptp(image)


def test_the_microscope_sees_junk_too() -> None:
    index = next(i for i in range(400) if junk_kind(SEED, i) == "edge")
    plain, seen = (
        junk_image([MOLECULE], ctf, SEED, index, BOX, PIXEL)
        for ctf in (neutral_ctf(1), draw_ctf(1, 1))
    )
    # an edge that lets no mean through: fringes of both signs
    assert plain.min() > -0.1 * plain.max()
    assert seen.min() < -0.1 * seen.max()
