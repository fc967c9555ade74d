"""The posterior of one image over views against sums written out, and its geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.explore.view_posterior import (
    OneImage,
    peaks,
    posterior_near,
    posterior_over_sphere,
    square_of_shifts,
)
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import margin_for, pose_losses
from phantoms import Blobs, PlantedParticles, random_turns

BOX = 32
DISK = FourierDisk.of(BOX, 8.0)
VOLUME = (
    Blobs.random(4, count=20, spread=4.0, sigma=1.2)
    .volume(margin_for(DISK.radius), BOX)
    .to(torch.complex64)
)


@pytest.fixture(scope="module")
def planted() -> PlantedParticles:
    blobs = Blobs.random(4, count=20, spread=4.0, sigma=1.2)
    return PlantedParticles.of(blobs, DISK, 3, seed=6, signal=40.0)


def image_of(planted: PlantedParticles, index: int) -> OneImage:
    return OneImage(VOLUME, planted.particles.batch(slice(index, index + 1)))


def test_log_likelihoods_are_the_kernels_losses(planted: PlantedParticles) -> None:
    image, rotations = image_of(planted, 1), random_turns(5, 3).float()
    shifts = square_of_shifts(torch.tensor([0.3, -0.2]), 1.0, 3)
    found = image.log_likelihoods(rotations, shifts)
    for index, shift in enumerate(shifts):
        losses = pose_losses(
            VOLUME,
            planted.particles.images(),
            rotations,
            shift.expand(5, 2).contiguous(),
            torch.ones(5, dtype=torch.long),
        )
        explained = image.image.empty_loss() - losses
        torch.testing.assert_close(found[:, index], explained, rtol=1e-4, atol=1e-2)


def test_the_sphere_peaks_at_the_planted_view(planted: PlantedParticles) -> None:
    for index in range(3):
        shifts = planted.shifts_pixel[index, None].float()
        found = posterior_over_sphere(image_of(planted, index), shifts, nside=6)
        top = int(found.log_posterior.argmax())
        assert found.log_posterior[top] == 0
        cosine = float(found.directions[top] @ planted.rotations[index, 2].float())
        assert np.degrees(np.arccos(min(1.0, cosine))) < 1.2 * found.spacing_degrees
        assert 0 <= found.entropy_nats <= np.log(len(found.directions))


def test_an_image_of_nothing_has_an_even_posterior(planted: PlantedParticles) -> None:
    nothing = torch.zeros(1, len(DISK))
    image = OneImage(VOLUME, ImageBatch(nothing + 0j, nothing, DISK))
    found = posterior_over_sphere(image, torch.zeros(1, 2), nside=4)
    assert found.entropy_nats == pytest.approx(np.log(192), rel=1e-6)


def test_the_zoom_is_the_tangent_plane_of_the_pose(planted: PlantedParticles) -> None:
    pose = planted.rotations[0].float()
    shifts = planted.shifts_pixel[0, None].float()
    found = posterior_near(image_of(planted, 0), pose, shifts, reach_degrees=9.0, count=7)
    places = found.directions @ pose.T
    places = (places / places[:, 2:])[:, :2].view(7, 7, 2)
    axis = torch.linspace(-1, 1, 7) * float(np.tan(np.radians(9.0)))
    torch.testing.assert_close(places[..., 0], axis[:, None].expand(7, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(places[..., 1], axis[None].expand(7, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.directions[24], pose[2], atol=1e-5, rtol=0)


def test_peaks_are_apart_and_mates_count_once(planted: PlantedParticles) -> None:
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    operators = torch.stack([torch.eye(3), half_turn])
    found = posterior_over_sphere(image_of(planted, 0), torch.zeros(1, 2), nside=6)
    top = peaks(found, operators, 4, apart_degrees=15.0)
    assert top[0] == found.log_posterior.argmax()
    views = found.directions[top]
    cosine = torch.einsum("pi,sij,qj->spq", views, operators, views)
    cosine = cosine.amax(dim=0) - 2 * torch.eye(len(top))
    assert cosine.max() < np.cos(np.radians(15.0)) + 1e-6
