"""Whitening: noise of any colour leaves with unit variance, whatever the scale of the images,
the order of rows, the batch size or the company of other optics groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.ctf import contrast_transfer
from cryospin.fourier.disk import FourierDisk
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.background import soft_circle
from cryospin.particles.prepare import prepare_particles
from cryospin.types import ParticleStack

BOX, PIXEL, COUNT = 32, 3.0, 600


def coloured_noise(count: int, exponent: float, seed: int) -> np.ndarray:
    """Power falling as 1 / (1 + (k / 4)^2)^exponent from shell 4 of a box of 32."""
    white = np.random.default_rng(seed).normal(size=(count, BOX, BOX))
    k = np.fft.fftfreq(BOX, 1 / BOX)
    power = (1 + (k[:, None] ** 2 + k**2) / 16) ** -exponent
    return np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power)).real


def written(folder: Path, images: np.ndarray, groups: np.ndarray | None = None) -> ParticleStack:
    """The images as a RELION table and its stack, read back."""
    count = len(images)
    with StackWriter(folder / "stack.mrcs", BOX, PIXEL, count) as stack:
        stack.append(images)
    groups = np.zeros(count, np.int64) if groups is None else groups
    rng = np.random.default_rng(9)
    defocus = torch.as_tensor(rng.uniform(8000, 20000, count))
    same = torch.ones(count, dtype=torch.float64)
    ctf = CtfParameters(
        defocus + 300, defocus, 40 * same, 0 * same, 300 * same, 2.7 * same, 0.1 * same
    )
    names = [f"{i + 1:06d}@stack.mrcs" for i in range(count)]
    optics = tuple(Optics(f"group{g}", PIXEL, 300.0, 2.7, 0.1) for g in range(groups.max() + 1))
    write_new_particles(folder / "particles.star", names, optics, BOX, groups, ctf)
    return read_particles(folder / "particles.star")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> ParticleStack:
    """White noise with a disc of density in the middle, at an arbitrary scale."""
    images = coloured_noise(COUNT, 0.0, seed=1)
    axis = np.arange(BOX) - BOX // 2
    images += 0.5 * (axis[:, None] ** 2 + axis**2 < 49)
    return written(tmp_path_factory.mktemp("noisy"), 40 * images + 1000)


def power_by_shell(values: torch.Tensor, disk: FourierDisk) -> torch.Tensor:
    shell = torch.as_tensor(disk.shell).long()
    mean = values.abs().square().mean(0).double()
    total = torch.zeros(int(shell.max()) + 1, dtype=torch.float64).index_add_(0, shell, mean)
    return total / torch.bincount(shell)


@pytest.mark.parametrize(
    "exponent, smear", [(0.0, 0.03), (0.5, 0.05), (1.5, 0.15)], ids=["white", "pink", "steep"]
)
def test_noise_leaves_with_what_the_mask_leaves(
    tmp_path: Path, exponent: float, smear: float
) -> None:
    """Of 600 images a shell of 6 coefficients or more has its mean power to 2 % (one standard
    deviation); `smear` is what the annulus of background pixels does to a sloping spectrum."""
    stack = written(tmp_path, coloured_noise(COUNT, exponent, seed=2))
    particles = prepare_particles(stack)
    assert particles.coefficients.dtype == torch.complex64
    power = power_by_shell(particles.coefficients, particles.disk) / particles.noise_level
    assert (power[2:] - 1).abs().max() < 0.05 + smear
    assert abs(power[2:].mean() - 1) < 0.02 + 0.5 * smear


def test_each_optics_group_is_whitened_by_its_own_spectrum(tmp_path: Path) -> None:
    groups = np.arange(COUNT) % 2
    images = np.where(
        groups[:, None, None] == 1,
        coloured_noise(COUNT, 0.0, seed=3),
        coloured_noise(COUNT, 1.0, seed=4),
    )
    particles = prepare_particles(written(tmp_path, images, groups))
    assert particles.noise_power.shape == (2, BOX // 2)
    for group in (0, 1):
        members = particles.coefficients[particles.optics_group == group]
        power = power_by_shell(members, particles.disk) / particles.noise_level
        assert (power[2:] - 1).abs().max() < 0.2
    ratio = particles.noise_power[0, 3] / particles.noise_power[0, 12]
    expected = ((1 + 144 / 16) / (1 + 9 / 16)) ** 1.0
    # the window of the background smears a slope of tenfold
    assert float(ratio) == pytest.approx(expected, rel=0.25)


def test_noise_power_of_one_group_does_not_depend_on_the_other(tmp_path: Path) -> None:
    groups = np.repeat([0, 1], 100)
    images = coloured_noise(200, 0.0, seed=5)
    first = prepare_particles(written(tmp_path, images, groups))
    images[100:] = coloured_noise(100, 2.0, seed=6)
    second = prepare_particles(written(tmp_path, images, groups))
    assert torch.equal(first.noise_power[0], second.noise_power[0])
    assert torch.equal(first.coefficients[:100], second.coefficients[:100])


@pytest.mark.parametrize("batch_size", [1, 7, 600, 10_000])
def test_batch_size_does_not_matter(noisy: ParticleStack, batch_size: int) -> None:
    """Not by a bit: this is what lets a user trade memory for nothing."""
    subset = noisy.select(np.arange(40)) if batch_size == 1 else noisy
    expected = prepare_particles(subset, batch_size=13)
    found = prepare_particles(subset, batch_size=batch_size)
    assert torch.equal(found.coefficients, expected.coefficients)
    assert torch.equal(found.ctf, expected.ctf)
    assert torch.equal(found.noise_power, expected.noise_power)


def test_rows_may_come_in_any_order(noisy: ParticleStack) -> None:
    order = np.random.default_rng(7).permutation(COUNT)
    straight, shuffled = prepare_particles(noisy), prepare_particles(noisy.select(order))
    assert shuffled.uids == tuple(straight.uids[i] for i in order)
    # noise power is summed in the order of the rows: float64 sums of float32 squares
    torch.testing.assert_close(shuffled.noise_power, straight.noise_power, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        shuffled.coefficients, straight.coefficients[order], rtol=0, atol=1e-4
    )
    torch.testing.assert_close(shuffled.ctf, straight.ctf[order], rtol=1e-5, atol=1e-6)


def test_scale_and_offset_of_the_images_do_not_matter(tmp_path: Path) -> None:
    images = coloured_noise(100, 0.5, seed=8)
    plain = prepare_particles(written(tmp_path, images))
    scales = np.random.default_rng(1).uniform(0.1, 10, (100, 1, 1))
    other = prepare_particles(written(tmp_path, images * scales - 3))
    # stacks are float32
    torch.testing.assert_close(other.coefficients, plain.coefficients, rtol=0, atol=1e-4)


def test_the_ctf_is_whitened_with_the_images(noisy: ParticleStack) -> None:
    particles = prepare_particles(noisy)
    sigma = particles.noise_power.sqrt()[0, torch.as_tensor(particles.disk.shell).long()]
    expected = contrast_transfer(noisy.ctf, particles.disk, PIXEL).float()
    torch.testing.assert_close(particles.ctf * sigma, expected, rtol=0, atol=1e-6)
    # the mean, shell 0, has no noise estimate of its own
    assert torch.equal(particles.noise_power[:, 0], particles.noise_power[:, 1])


def test_a_resolution_limit_is_a_prefix(noisy: ParticleStack) -> None:
    whole = prepare_particles(noisy)
    limit = BOX * PIXEL / 9.0
    cut = prepare_particles(noisy, max_resolution_angstrom=limit)
    assert cut.disk.radius == pytest.approx(9.0)
    assert cut.resolution_angstrom(9.0) == pytest.approx(limit)
    # the outermost shell is cut through by the disk, so its noise is another average
    inner = cut.disk.length_within(8.4)
    assert torch.equal(cut.coefficients[:, :inner], whole.coefficients[:, :inner])
    assert torch.equal(cut.ctf[:, :inner], whole.ctf[:, :inner])


def test_the_mask_takes_the_surroundings_away(noisy: ParticleStack) -> None:
    wide = prepare_particles(noisy)
    narrow = prepare_particles(noisy, mask_diameter_angstrom=12 * PIXEL)
    # the noise is the same; what is left of it is proportional to the area
    ratio = (narrow.noise_power[0, 4:] / wide.noise_power[0, 4:]).mean()
    assert float(ratio) == pytest.approx(1.0, rel=0.05)
    for particles, radius in ((narrow, 6.0), (wide, 12.0)):
        left = float(soft_circle(BOX, radius, 4.0).square().mean())
        assert particles.noise_level == pytest.approx(left)
        power = power_by_shell(particles.coefficients, particles.disk)[8:]
        assert float(power.mean()) == pytest.approx(left, rel=0.1)


def test_a_batch_is_rows_within_a_radius(noisy: ParticleStack) -> None:
    particles = prepare_particles(noisy.select(np.arange(30)))
    rows, inner = torch.tensor([7, 3]), particles.disk.length_within(5.0)
    found = particles.batch(rows, 5.0)
    assert found.disk == particles.disk.prefix(5.0) and len(found.disk) == inner
    assert torch.equal(found.coefficients, particles.coefficients[rows, :inner])
    assert torch.equal(found.ctf, particles.ctf[rows, :inner])
    assert torch.equal(particles.batch(rows).ctf, particles.ctf[rows])


def test_all_images_and_those_of_a_slice_are_views(noisy: ParticleStack) -> None:
    particles = prepare_particles(noisy.select(np.arange(30)))
    for found, first in ((particles.images(5.0), 0), (particles.batch(slice(4, 9), 5.0), 4)):
        assert found.coefficients.data_ptr() == particles.coefficients[first].data_ptr()
        assert found.ctf.data_ptr() == particles.ctf[first].data_ptr()


def test_batches_go_on_after_what_is_done(noisy: ParticleStack) -> None:
    particles = prepare_particles(noisy.select(np.arange(30)))
    found = list(particles.batches(12, 5.0, done=10))
    assert [rows.tolist() for rows, _ in found] == [list(range(10, 22)), list(range(22, 30))]
    joined = torch.cat([images.coefficients for _, images in found])
    assert torch.equal(joined, particles.images(5.0).coefficients[10:])


def test_rewhitening_divides_by_the_new_spectrum(noisy: ParticleStack) -> None:
    particles = prepare_particles(noisy.select(np.arange(50)))
    shells = particles.noise_power.shape[1]
    factor = torch.linspace(0.5, 2.0, shells)
    before, ctf = particles.coefficients.clone(), particles.ctf.clone()
    after = particles.rewhitened(particles.noise_power * factor)
    scale = factor.rsqrt()[torch.as_tensor(particles.disk.shell).long()]
    torch.testing.assert_close(after.coefficients, before * scale)
    torch.testing.assert_close(after.ctf, ctf * scale)
    torch.testing.assert_close(after.noise_power, particles.noise_power * factor)


def test_rewhitening_each_group_apart(tmp_path: Path) -> None:
    groups = np.array([0, 1, 1, 0, 1])
    particles = prepare_particles(written(tmp_path, coloured_noise(5, 0.0, 1), groups))
    before = particles.coefficients.clone()
    factor = torch.tensor([[1.0], [4.0]])
    after = particles.rewhitened(particles.noise_power * factor)
    torch.testing.assert_close(after.coefficients[groups == 0], before[groups == 0])
    torch.testing.assert_close(after.coefficients[groups == 1], before[groups == 1] / 2)


def test_selection_keeps_rows_together(noisy: ParticleStack) -> None:
    particles = prepare_particles(noisy)
    chosen = np.array([5, 0, 599])
    some = particles.select(chosen)
    assert len(some) == 3 and some.uids == tuple(particles.uids[i] for i in chosen)
    for name in ("coefficients", "ctf", "optics_group"):
        assert torch.equal(getattr(some, name), getattr(particles, name)[chosen])
    assert replace(some, noise_power=particles.noise_power).disk is particles.disk


def test_progress_counts_images(noisy: ParticleStack) -> None:
    told: list[tuple[int, int]] = []
    prepare_particles(noisy, progress=lambda *counts: told.append(counts))
    assert told == [(done, COUNT) for done in range(100, COUNT + 1, 100)]
