"""Map alignment: planted rotations, shifts and hands are found, maps and poses follow."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryospin.errors import BadDataError
from cryospin.fourier.disk import FourierDisk, coefficients_to_images, shift_phases
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.kernels import slice_volume
from cryospin.simulate.projection import GaussianMolecule
from cryospin.types import DensityMap, Poses
from cryospin.volumes.alignment import (
    MapAlignment,
    align_maps,
    apply_alignment,
    poses_after_alignment,
)
from cryospin.volumes.gridded import map_to_volume

PIXEL = 2.5


def density(values):
    return DensityMap(values, PIXEL)


def planted(seed, flipped):
    """A known alignment: any rotation, a shift of about two voxels a side."""
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(rng=rng).as_matrix()
    shift = rng.normal(size=3) * 2.0
    return MapAlignment(
        torch.as_tensor(rotation), torch.as_tensor(shift * PIXEL), flipped, correlation=1.0
    )


def moved(phantom, alignment):
    return phantom.moved(
        alignment.rotation.numpy(), alignment.shift_angstrom.numpy() / PIXEL, alignment.flipped
    )


def errors(found, true):
    """(degrees, Angstrom) between two alignments of one hand."""
    turn = Rotation.from_matrix((found.rotation @ true.rotation.T).numpy())
    return np.rad2deg(turn.magnitude()), (found.shift_angstrom - true.shift_angstrom).norm().item()


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_finds_rotation_shift_and_hand_of_noisy_half_maps(phantom_of, noise_for, seed, flipped):
    phantom, true = phantom_of(seed, 48, sigma=1.1), planted(seed + 100, flipped)
    first, second = phantom.values(), moved(phantom, true).values()
    # FSC 0.143 at 40 % of Nyquist with the noise of the whole box
    found = align_maps(
        density(first + noise_for(first, 10, seed)),
        density(second + noise_for(second, 10, seed + 50)),
    )
    degrees, angstrom = errors(found, true)
    assert found.flipped == flipped
    # a voxel at the rim of the particle is 5 degrees
    assert degrees < 4 and angstrom < PIXEL


def test_without_noise_it_is_exact_up_to_interpolation(phantom_of):
    phantom, true = phantom_of(11, 48), planted(7, True)
    found = align_maps(density(phantom.values()), density(moved(phantom, true).values()))
    degrees, angstrom = errors(found, true)
    assert found.flipped and found.correlation > 0.999
    assert degrees < 0.05 and angstrom < 0.01 * PIXEL


def test_blind_to_scale_and_filter(phantom_of):
    """Maps of unequal sharpness: each shell is compared on its own scale."""
    phantom, true = phantom_of(12, 48), planted(8, False)
    blurred = torch.fft.rfftn(moved(phantom, true).values())
    axis, half = torch.fft.fftfreq(48), torch.arange(25) / 48
    square = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + half**2
    blurred = 40.0 * torch.fft.irfftn(blurred * torch.exp(-30 * square), s=(48, 48, 48)) - 3.0
    found = align_maps(density(phantom.values()), density(blurred))
    assert not found.flipped
    assert errors(found, true)[0] < 0.2


def test_max_resolution_limits_the_search(phantom_of):
    phantom, true = phantom_of(13, 48), planted(9, False)
    found = align_maps(density(phantom.values()), density(moved(phantom, true).values()), 20.0)
    assert errors(found, true)[0] < 0.5


def test_is_deterministic_and_survives_featureless_maps():
    ball = torch.zeros(24, 24, 24)
    ball[10:14, 10:14, 10:14] = 1.0
    first, second = (align_maps(density(ball), density(ball)) for _ in range(2))
    assert torch.equal(first.rotation, second.rotation)
    empty = align_maps(density(torch.zeros(24, 24, 24)), density(ball))
    assert torch.isfinite(empty.rotation).all() and empty.correlation == 0


def test_maps_that_cannot_be_compared_are_refused():
    small, large = density(torch.zeros(16, 16, 16)), density(torch.zeros(20, 20, 20))
    with pytest.raises(BadDataError, match="16 and 20 voxels"):
        align_maps(small, large)
    with pytest.raises(BadDataError, match="voxel sizes"):
        align_maps(small, DensityMap(small.values, 3.0))
    odd = density(torch.zeros(15, 15, 15))
    with pytest.raises(BadDataError, match="even box"):
        align_maps(odd, odd)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("box", [48, 50])
def test_applying_keeps_the_map_up_to_high_frequencies(phantom_of, box, flipped):
    phantom, true = phantom_of(14, box), planted(10, flipped)
    result = apply_alignment(density(phantom.values()), true)
    assert result.pixel_size_angstrom == PIXEL and result.values.dtype == torch.float32
    curve = fourier_shell_correlation(result.values, moved(phantom, true).values())
    assert curve[: int(0.4 * box)].min() > 0.999  # shells up to 0.8 Nyquist


def test_applying_the_identity_changes_nothing(phantom_of):
    values = phantom_of(15, 32, sigma=1.3).values()
    identity = MapAlignment(torch.eye(3).double(), torch.zeros(3).double(), False, 1.0)
    result = apply_alignment(density(values), identity).values
    # what is lost is the Nyquist plane
    assert (result - values).norm() < 1e-3 * values.norm()


def random_poses(count, seed):
    rng = np.random.default_rng(seed)
    return Poses(
        torch.as_tensor(Rotation.random(count, rng=rng).as_matrix()),
        torch.as_tensor(rng.normal(size=(count, 2)) * 3),
        torch.ones(count).double(),
    )


def projections(molecule, poses, box):
    shifts = poses.shifts_angstrom.numpy() / PIXEL
    return molecule.project(poses.rotations.numpy(), shifts, box, PIXEL)


@pytest.mark.parametrize("flipped", [False, True])
def test_moved_molecule_with_moved_poses_gives_the_same_images(phantom_of, flipped):
    """Exact, by analytic projection."""
    phantom, alignment, poses = phantom_of(16, 32), planted(11, flipped), random_poses(6, 12)

    def molecule(placed):
        return GaussianMolecule(
            placed.positions * PIXEL, placed.weights, np.full(len(placed.weights), 4.0)
        )

    before = projections(molecule(phantom), poses, 32)
    after_poses = poses_after_alignment(poses, alignment)
    after = projections(molecule(moved(phantom, alignment)), after_poses, 32)
    np.testing.assert_allclose(after, before, atol=1e-5 * before.max())
    determinants = torch.linalg.det(after_poses.rotations)
    torch.testing.assert_close(determinants, torch.ones(6).double())


@pytest.mark.parametrize("flipped", [False, True])
def test_moved_map_with_moved_poses_gives_the_same_slices(phantom_of, flipped):
    """Map and poses together, through the slices that reconstruction uses."""
    alignment, poses, disk = planted(13, flipped), random_poses(6, 14), FourierDisk.of(32, 12)
    phantom = phantom_of(17, 32, sigma=1.3, reach=0.18)

    def images(values, at):
        slices = slice_volume(map_to_volume(values, 32, 12), at.rotations.float(), disk)
        phases = shift_phases(at.shifts_angstrom.float() / PIXEL, disk)
        return coefficients_to_images(slices * phases, disk)

    before = images(phantom.values(), poses)
    aligned = apply_alignment(density(phantom.values()), alignment)
    after = images(aligned.values, poses_after_alignment(poses, alignment))
    # two trilinear slicings differ by a per cent or two
    assert (after - before).norm() < 0.03 * before.norm()
