"""The posterior of the coordinates against what it is by definition, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryospin.fourier.disk import moved
from cryospin.kernels import slice_volume
from cryospin.variability.expectation import coordinates_of
from cryospin.variability.subspace import CentredImages
from cryospin.volumes.gridded import map_to_volume
from phantoms import in_memory
from variability_toys import BOX, RADIUS, LinearPhantom, drawn_coordinates

PHANTOM = LinearPhantom.of(2)
HALF = PHANTOM.half_set(drawn_coordinates(6, 2, seed=1), seed=1, signal=20.0)
IMAGES = CentredImages.of(HALF, RADIUS)
SCALE = 0.2  # deviation of the images' scale
VOLUMES = torch.stack([map_to_volume(each, BOX, RADIUS) for each in PHANTOM.densities(BOX)])


def log_joint(w: torch.Tensor, image: int, scale: float = SCALE, volumes: torch.Tensor = VOLUMES):
    """log p(x, w) of one image and w = (a, z) up to a constant, from its pixels as measured."""
    disk, particles = IMAGES.disk, HALF.particles
    rotation = HALF.rotations[image : image + 1]
    slices = torch.stack([slice_volume(each, rotation, disk)[0] for each in volumes])
    predicted = w.to(torch.complex128) @ slices.to(torch.complex128)
    predicted = moved(predicted[None], HALF.shifts_pixel[image : image + 1].double(), disk)[0]
    held = in_memory(particles)
    residual = held.coefficients[image] - held.ctf[image].double() * predicted
    prior = ((w[0] - 1) / scale).square() + w[1:].square().sum()
    return -residual.abs().square().sum() - 0.5 * prior


@pytest.mark.parametrize("image", range(3))
def test_mean_and_covariance_are_those_of_the_posterior(image: int) -> None:
    found = coordinates_of(IMAGES, VOLUMES, SCALE)
    mean = found.mean[image].double()
    w = mean.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(log_joint(w, image), w)
    hessian = torch.autograd.functional.hessian(lambda x: log_joint(x, image), mean)
    covariance = torch.linalg.inv(-hessian)
    # the slices are of single precision
    torch.testing.assert_close(found.covariance[image].double(), covariance, rtol=1e-3, atol=1e-6)
    deviation = found.covariance[image].diagonal().sqrt()
    assert ((covariance @ gradient).abs() < 1e-3 * deviation).all()


def test_the_evidence_is_the_integral_over_coordinates() -> None:
    """Its difference between two models, by sums over a fine grid of (a, z)."""
    axis = torch.linspace(-4, 4, 33, dtype=torch.float64)
    offsets = torch.cartesian_prod(axis, axis)
    one = CentredImages(*(each[:1] for each in _tensors()), IMAGES.disk)

    def evidence(scale: float) -> tuple[float, float]:
        """As told, and as summed."""
        found = coordinates_of(one, VOLUMES[:2], scale)
        root = torch.linalg.cholesky(found.covariance[0].double())
        places = found.mean[0].double() + offsets @ root.T  # where the posterior is
        logs = torch.stack([log_joint(w, 0, scale, VOLUMES[:2]) for w in places])
        summed = torch.logsumexp(logs, 0) + root.diagonal().log().sum() - np.log(scale)
        return found.log_evidence, float(summed)

    (told, summed), (other_told, other_summed) = evidence(0.05), evidence(0.5)
    assert abs(told - other_told) > 0.1
    assert told - other_told == pytest.approx(summed - other_summed, abs=2e-3)


def _tensors() -> tuple[torch.Tensor, ...]:
    return IMAGES.values, IMAGES.power, IMAGES.rotations, IMAGES.weight


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = coordinates_of(IMAGES, VOLUMES, SCALE)
    monkeypatch.setattr("cryospin.variability.expectation._CHUNK", 4)
    monkeypatch.setattr("cryospin.variability.expectation._BLOCK", 2)
    parts = coordinates_of(IMAGES, VOLUMES, SCALE)
    torch.testing.assert_close(parts.mean, whole.mean)
    assert parts.log_evidence == pytest.approx(whole.log_evidence, rel=1e-6)
