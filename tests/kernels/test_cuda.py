"""Slices and poses on cards against their twins in float64; see `on_device`."""

from __future__ import annotations

import pytest
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import cuda, reference
from kernels.on_device import (
    DEVICE,
    DISKS,
    assert_near,
    exact,
    noise_volume,
    on_device,
    positive,
    prefixes,
)
from phantoms import disk_coefficients, random_turns


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize(("count", "oversampling", "spare"), [(1, 2, 0), (3, 1, 3), (2, 3, 0)])
def test_slices(disk: FourierDisk, count: int, oversampling: int, spare: int) -> None:
    arguments = (noise_volume(disk, oversampling, spare), random_turns(count, 1))
    found = cuda.slice_volume(*on_device(*arguments), disk, oversampling)
    assert_near(found, reference.slice_volume(*exact(*arguments), disk, oversampling))


def test_slices_from_the_axes_are_grid_points() -> None:
    """Every coefficient on a border between cells, those of kx = 0 on the volume's edge."""
    disk = DISKS[1]
    volume = noise_volume(disk, 2)
    turns = torch.stack([torch.eye(3).roll(turn, dims=0) for turn in range(3)])
    found = cuda.slice_volume(*on_device(volume, turns), disk, 2)
    assert_near(found, reference.slice_volume(*exact(volume, turns), disk, 2), 0)


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("index", [None, [2, 0, 2, 2, 1]])
def test_poses(disk: FourierDisk, index: list[int] | None) -> None:
    """Also several poses of one image, and images longer than the disk."""
    images, poses = 3, 5 if index else 3
    data = (disk_coefficients(images, disk, 1) * 5, 2 * positive(images, disk, 2) - 1)
    volume, rotations = noise_volume(disk, 2), random_turns(poses, 3)
    shifts = 3 * torch.randn(poses, 2, generator=torch.manual_seed(4))
    which = None if index is None else torch.tensor(index)
    expected = reference.pose_normal_equations(
        *exact(volume, *data, rotations, shifts), disk, which, 2
    )
    volume, rotations, shifts = on_device(volume, rotations, shifts)
    longer = prefixes(*on_device(*data), spare=3)
    arguments = (volume, *longer, rotations, shifts, disk)
    which = None if which is None else which.to(DEVICE)
    for ours, twin in zip(cuda.pose_normal_equations(*arguments, which, 2), expected, strict=True):
        assert_near(ours, twin)
    assert_near(cuda.pose_losses(*arguments, which, 2), expected[0])
