"""The implicit learned volume: a real map's slices, differentiable in everything."""

from __future__ import annotations

import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.imaging import slices_negative_log_likelihood
from cryospin.rotations.s2s2 import s2s2_to_rotation
from cryospin.volumes.implicit import ImplicitVolume
from phantoms import Blobs, disk_coefficients, random_turns

BOX = 16
DISK = FourierDisk.of(BOX, 4.0)


def small_volume(seed: int = 0) -> ImplicitVolume:
    generator = torch.Generator().manual_seed(seed)
    power = torch.logspace(1, -1, 9)
    return ImplicitVolume(power, BOX, generator, features=16, width=32, layers=2)


def test_a_half_turn_conjugates() -> None:
    """In the plane by pi, k becomes -k: slices of a real map are conjugated."""
    volume = small_volume().double()
    rotations = random_turns(3, 1)
    turned = torch.diag(torch.tensor([-1.0, -1.0, 1.0]).double()) @ rotations
    torch.testing.assert_close(volume(turned, DISK), volume(rotations, DISK).conj())


def test_turning_object_and_view_changes_nothing_at_zero_frequency() -> None:
    volume = small_volume()
    values = volume(random_turns(6, 2).float(), DISK)[:, 0]
    torch.testing.assert_close(values, values[:1].expand(6))
    assert float(values.imag.detach().abs().max()) == 0


def test_pairs_are_the_coefficients_at_a_frequency_and_its_negative() -> None:
    volume = small_volume().double()
    with torch.no_grad():
        volume.network[0].bias.normal_(generator=torch.Generator().manual_seed(2))
    frequencies = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    apart = volume.hartley(frequencies), volume.hartley(-frequencies)
    torch.testing.assert_close(volume.hartley_pairs(frequencies), apart)


def test_same_seed_same_volume() -> None:
    rotations = random_turns(2, 3).float()
    assert torch.equal(small_volume(4)(rotations, DISK), small_volume(4)(rotations, DISK))


def test_gradients_equal_finite_differences() -> None:
    """With respect to head outputs, shifts and a weight."""
    volume = small_volume().double()
    rotations = random_turns(2, 5)
    images = disk_coefficients(2, DISK, 6) * 3
    ctf = torch.rand(2, len(DISK), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    batch, last = ImageBatch(images, ctf, DISK), volume.network[-1]

    def loss(six: torch.Tensor, shifts: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        parameters = {"network.4.weight": weight}
        slices = torch.func.functional_call(volume, parameters, (s2s2_to_rotation(six), DISK))
        return slices_negative_log_likelihood(slices, batch, shifts)

    six = torch.cat([rotations[..., 0], rotations[..., 1]], dim=-1).requires_grad_()
    shifts = torch.tensor([[0.5, -1.0], [0.2, 0.3]], dtype=torch.float64).requires_grad_()
    weight = last.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (six, shifts, weight), atol=1e-5)


def test_it_learns_a_map_from_slices() -> None:
    """At known poses, to a twentieth of the power in 60 steps."""
    blobs = Blobs.random(1, spread=2.0)
    rotations = random_turns(40, 7)
    targets = blobs.coefficients(rotations, DISK).to(torch.complex64)
    power = targets.abs().square().mean() * torch.ones(9)
    generator = torch.Generator().manual_seed(8)
    volume = ImplicitVolume(power, BOX, generator, features=32, width=64, layers=2)
    optimiser = torch.optim.Adam(volume.parameters(), 3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        loss = (volume(rotations.float(), DISK) - targets).abs().square().mean()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05 * float(targets.abs().square().mean())
