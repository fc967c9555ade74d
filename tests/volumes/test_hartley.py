"""The explicit learned volume: Hartley and Fourier are one thing in two forms."""

from __future__ import annotations

import numpy as np
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import margin_for, slice_volume
from cryospin.volumes.gridded import map_to_volume
from cryospin.volumes.hartley import (
    HartleyVolume,
    fourier_shells,
    fourier_to_hartley,
    hartley_to_fourier,
)
from phantoms import Blobs, learned_volume, random_turns

BOX = 16
DISK = FourierDisk.of(BOX)


def real_map() -> torch.Tensor:
    return Blobs.random(1, spread=2.0).density(BOX).float()


def test_hartley_is_the_cas_transform() -> None:
    """H(k) = sum f (cos + sin)(2 pi k.x / d) of a real map, term by term."""
    density = torch.randn(4, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    axis = torch.arange(4) - 2
    place = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).flatten(1).double()
    grid = torch.arange(-1, 2)
    k = torch.stack(torch.meshgrid(grid, grid, grid, indexing="ij")).flatten(1).double()
    angle = 2 * np.pi / 4 * k.T @ place
    hartley = ((angle.cos() + angle.sin()) @ density.flatten()).view(3, 3, 3)
    waves = torch.polar(torch.ones_like(angle), -angle)
    fourier = (waves @ density.flatten().to(torch.complex128)).view(3, 3, 3)
    torch.testing.assert_close(hartley_to_fourier(hartley), fourier[..., 1:])
    torch.testing.assert_close(fourier_to_hartley(fourier[..., 1:]), hartley)


def test_a_map_makes_the_round_trip() -> None:
    for oversampling in (1, 2):
        volume = map_to_volume(real_map(), BOX, DISK.radius, oversampling)
        back = learned_volume(volume)()
        torch.testing.assert_close(back, volume, rtol=1e-5, atol=1e-5 * float(volume.abs().max()))


def test_its_slices_are_the_maps_projections() -> None:
    volume = map_to_volume(real_map(), BOX, DISK.radius)
    rotations = random_turns(5, 2).float()
    found = slice_volume(learned_volume(volume)().detach(), rotations, DISK)
    exact = slice_volume(volume, rotations, DISK)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5 * float(exact.abs().max()))


def test_any_coefficients_make_a_real_map() -> None:
    """Friedel's law on the plane x = 0, whatever was learned."""
    generator = torch.Generator().manual_seed(1)
    plane = HartleyVolume.random(torch.ones(9), 4.0, generator)()[:, :, 0]
    torch.testing.assert_close(plane, plane.flip(0, 1).conj())


def test_random_volumes_have_the_expected_power() -> None:
    power = torch.logspace(2, -1, 9)
    learned = HartleyVolume.random(power, 7.0, torch.Generator().manual_seed(2), scale=0.5)
    shells = fourier_shells(margin_for(7.0), 2).round()
    values = (learned.mantissa * learned.exponent.exp()).detach()
    for shell in (3, 6):
        ratio = float(values[shells == shell].square().mean() / (0.25 * power[shell]))
        assert 0.8 < ratio < 1.25
    again = HartleyVolume.random(power, 7.0, torch.Generator().manual_seed(2), scale=0.5)
    assert torch.equal(learned.mantissa, again.mantissa)
