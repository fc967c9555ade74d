"""The steps of the alignment search find what was planted."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from cryospin.kernels import OVERSAMPLING
from cryospin.volumes.alignment_search import COARSE_RADIUS, coarse_placements, search
from cryospin.volumes.spectrum_pair import correlation, spectrum_pair
from cryospin.volumes.turned_spectrum import _gathered, turned_coefficients

BOX = 32


def test_coarse_search_has_the_planted_placement_among_its_finds(phantom_of):
    phantom = phantom_of(5, BOX)
    rotation = Rotation.from_euler("ZYZ", [100, 33, 12], degrees=True).as_matrix()
    moved = phantom.moved(rotation, np.array([2.0, -1.0, 3.0]), True)
    pair = spectrum_pair(phantom.values(), moved.values(), COARSE_RADIUS)
    found = [p for p in coarse_placements(pair) if p.flipped]
    angles = [Rotation.from_matrix(p.rotation.numpy() @ rotation.T).magnitude() for p in found]
    assert np.rad2deg(min(angles)) < 15


def test_search_scores_what_it_finds(phantom_of):
    phantom = phantom_of(6, BOX)
    pair = spectrum_pair(phantom.values(), phantom.values(), 14)
    placement = search(pair, 14)
    assert correlation(pair, placement) > 0.999
    assert placement.score > 1000


def test_coefficients_are_the_same_by_torch(phantom_of):
    """As on a card."""
    pair = spectrum_pair(phantom_of(4, BOX).values(), phantom_of(4, BOX).values(), 12)
    rotations = Rotation.random(20, random_state=1).as_matrix() * np.array([1, 1, -1])
    arguments = pair.volume, torch.from_numpy(rotations), pair.frequencies, OVERSAMPLING
    expected = turned_coefficients(*arguments)
    # a position in float32 may round across a cell's border: the value is the same there
    torch.testing.assert_close(_gathered(*arguments), expected, rtol=0, atol=1e-4)
