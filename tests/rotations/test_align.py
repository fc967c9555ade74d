"""Rotation alignment: what is planted (frame, hand, equivalents, junk) is found."""

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from cryospin.rotations.align import align_rotations, mirror_rotations, swing_and_twist_degrees
from cryospin.rotations.symmetry import symmetry_group


def random_rotations(count, rng):
    return torch.as_tensor(Rotation.random(count, rng=rng).as_matrix())


def small_rotations(count, degrees, rng):
    return torch.as_tensor(
        Rotation.from_rotvec(rng.normal(size=(count, 3)) * degrees, degrees=True).as_matrix()
    )


def planted(count, symmetry, flipped, junk, seed, noise_degrees=2.0):
    """(estimated, true, global rotation, number of leading junk particles)."""
    rng = np.random.default_rng(seed)
    true = random_rotations(count, rng)
    global_rotation = random_rotations(1, rng)[0]
    group = symmetry_group(symmetry)
    equivalents = group[torch.as_tensor(rng.integers(len(group), size=count))]
    estimated = small_rotations(count, noise_degrees, rng) @ true @ equivalents @ global_rotation
    lost = int(junk * count)
    estimated[:lost] = random_rotations(max(lost, 1), rng)[:lost]
    return mirror_rotations(estimated) if flipped else estimated, true, global_rotation, lost


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("junk", [0.0, 0.4])
@pytest.mark.parametrize("symmetry", ["C1", "C2", "C3", "D7", "T", "O", "I"])
def test_finds_frame_hand_and_errors(symmetry, junk, flipped):
    estimated, true, global_rotation, lost = planted(1500, symmetry, flipped, junk, seed=7)
    found = align_rotations(estimated, true, symmetry)
    assert found.flipped == flipped
    coset = symmetry_group(symmetry) @ global_rotation
    off = roma.rotmat_geodesic_distance(coset, found.global_rotation.expand_as(coset)).min()
    # the mean of 900 poses of 2 degrees per axis is known to 0.1 degrees
    assert torch.rad2deg(off) < 0.5
    # median of a 3D Gaussian's length is 1.538 sigma
    assert abs(found.errors_degrees[lost:].median() - 3.08) < 0.3
    assert found.errors_degrees[lost:].max() < 15


def test_errors_agree_with_scipy_when_aligned():
    estimated, true, _, _ = planted(200, "C1", True, 0.1, seed=3)
    found = align_rotations(estimated, true)
    ours = Rotation.from_matrix(mirror_rotations(estimated).numpy())
    theirs = Rotation.from_matrix((true @ found.global_rotation).numpy())
    np.testing.assert_allclose(
        found.errors_degrees, np.rad2deg((ours * theirs.inv()).magnitude()), atol=1e-5
    )


def test_exact_poses_have_no_error():
    estimated, true, _, _ = planted(300, "D2", False, 0.0, seed=1, noise_degrees=0.0)
    assert align_rotations(estimated, true, "D2").errors_degrees.max() < 1e-5


def test_symmetry_ignored_shows_the_equivalents_as_errors():
    estimated, true, _, _ = planted(600, "C2", False, 0.0, seed=2)
    errors = align_rotations(estimated, true, "C1").errors_degrees
    assert 0.3 < (errors > 90).double().mean() < 0.7


def test_random_poses_stay_random():
    rng = np.random.default_rng(5)
    found = align_rotations(random_rotations(2000, rng), random_rotations(2000, rng))
    # random rotations are 126 degrees apart on average; the best frame gains a little
    assert found.errors_degrees.mean() > 110


def test_split_into_view_and_in_plane():
    rng = np.random.default_rng(11)
    true = random_rotations(100, rng)
    swing = torch.as_tensor(Rotation.from_rotvec([0, 5, 0], degrees=True).as_matrix())
    twist = torch.as_tensor(Rotation.from_rotvec([0, 0, -20], degrees=True).as_matrix())
    view, in_plane = swing_and_twist_degrees(swing @ twist @ true, true)
    np.testing.assert_allclose(view, 5.0, atol=1e-6)
    np.testing.assert_allclose(in_plane, 20.0, atol=1e-6)
    directions = (swing @ twist @ true)[:, 2], true[:, 2]
    cosines = (directions[0] * directions[1]).sum(1)
    np.testing.assert_allclose(torch.rad2deg(torch.acos(cosines)), view, atol=1e-5)


def test_is_deterministic_and_indifferent_to_precision():
    estimated, true, _, _ = planted(3000, "C3", True, 0.3, seed=9)
    first = align_rotations(estimated, true, "C3")
    second = align_rotations(estimated, true, "C3")
    assert torch.equal(first.errors_degrees, second.errors_degrees)
    single = align_rotations(estimated.float(), true.float(), "C3")
    torch.testing.assert_close(single.errors_degrees, first.errors_degrees, atol=1e-2, rtol=0)


def test_unequal_lists_are_refused():
    # a TypeError where shapes are checked at run time
    with pytest.raises((ValueError, TypeError)):
        align_rotations(torch.eye(3)[None], torch.eye(3).expand(2, 3, 3))
