"""Boxes change, densities do not; mirroring is exact and its own inverse."""

import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.fourier.disk import FourierDisk, images_to_coefficients
from cryospin.rotations.align import mirror_rotations
from cryospin.types import DensityMap
from cryospin.volumes.boxes import cropped, mirrored


def test_crop_and_pad_keep_the_centre():
    values = torch.randn(12, 12, 12, generator=torch.Generator().manual_seed(0))
    density = DensityMap(values, 2.0)
    small = cropped(density, 8)
    assert small.values[4, 4, 4] == values[6, 6, 6]
    assert torch.equal(small.values, values[2:10, 2:10, 2:10])
    large = cropped(small, 16)
    assert large.values[8, 8, 8] == values[6, 6, 6]
    assert torch.equal(cropped(large, 8).values, small.values)
    assert torch.count_nonzero(large.values) == torch.count_nonzero(small.values)


@pytest.mark.parametrize("box", [7, 2, 0])
def test_impossible_boxes_are_refused(box):
    with pytest.raises(BadDataError, match="even box"):
        cropped(DensityMap(torch.zeros(8, 8, 8), 1.0), box)


@pytest.mark.parametrize("box", [8, 9])
def test_mirror_keeps_the_centre_and_undoes_itself(box):
    values = torch.randn(box, box, box, generator=torch.Generator().manual_seed(1))
    density = DensityMap(values, 1.0)
    other = mirrored(density)
    assert torch.equal(other.values[box // 2], values[box // 2])
    assert torch.equal(other.values[box // 2 + 1], values[box // 2 - 1])
    assert torch.equal(mirrored(other).values, values)


def test_mirrored_map_at_mirrored_poses_gives_the_same_projections():
    """Exact Fourier slices of the voxels, no interpolation: V'(M R M) = V(R)."""
    box = 12
    generator = torch.Generator().manual_seed(2)
    values = torch.zeros(box, box, box, dtype=torch.float64)
    # plane 0 has no mate and stays where it is, so nothing may lie there
    values[1:, 1:, 1:] = torch.randn(11, 11, 11, generator=generator, dtype=torch.float64)
    matrix = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(matrix)[0]
    rotation = rotation * torch.linalg.det(rotation)
    disk = FourierDisk.of(box)
    axis = torch.arange(box, dtype=torch.float64) - box // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z], -1).reshape(-1, 3)
    plane = torch.tensor([disk.kx.tolist(), disk.ky.tolist(), [0] * len(disk)]).double().T

    def slice_of(density, turn):
        phase = (plane @ turn) @ points.T * (-2 * torch.pi / box)
        return torch.polar(torch.ones_like(phase), phase) @ density.reshape(-1).cdouble()

    other = mirrored(DensityMap(values, 1.0)).values
    one, two = slice_of(values, rotation), slice_of(other, mirror_rotations(rotation))
    assert torch.allclose(one, two, atol=1e-9)
    # and straight down z the image itself is unchanged
    images = torch.stack([values.sum(0), other.sum(0)])
    first, second = images_to_coefficients(images, disk)
    assert torch.allclose(first, second, atol=1e-12)
