"""What tilt, aberrations and distortion did to an image is undone, exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from cryospin.ctf import contrast_transfer, wavelength_angstrom
from cryospin.fourier.disk import FourierDisk, images_to_coefficients, shift_phases
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.kernels import margin_for, slice_volume
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.lens import Lenses
from cryospin.particles.prepare import PreparedParticles, prepare_particles
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.rotations.sampling import random_rotations
from cryospin.types import ParticleStack, Poses
from cryospin.volumes.gridded import SliceSums, map_to_volume, volume_to_map, wiener_volume
from distorted_images import BOX, KINDS, PIXEL, STRETCHED, TILTED, exact_images, exact_map

COUNT, NOISE = 40, 0.1
PLAIN = Optics("plain", PIXEL, 300.0, 2.7, 0.1)


def parameters(count: int = COUNT) -> CtfParameters:
    ones = torch.ones(count, dtype=torch.float64)
    # signal that a larger defocus spreads beyond the box comes back on the other side
    u = torch.linspace(5e3, 9e3, count, dtype=torch.float64)
    return CtfParameters(u, u - 1e3, 40 * ones, 0 * ones, 300 * ones, 2.7 * ones, 0.1 * ones)


def poses(count: int = COUNT) -> Poses:
    generator = torch.Generator().manual_seed(9)
    shifts = 6 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 3
    return Poses(
        random_rotations(count, np.random.default_rng(4)).double(),
        shifts,
        torch.ones(count, dtype=torch.float64),
    )


def stack_with(folder: Path, kind: str, count: int = COUNT, noise: float = 0.0) -> ParticleStack:
    """Images from plain and from aberrated optics, in turn, at the poses above."""
    optics = (PLAIN, replace(PLAIN, name="aberrated", **KINDS[kind]))
    group = np.arange(count) % 2
    images = exact_images(optics, group, parameters(count), poses(count))
    images += noise * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    with StackWriter(folder / "a.mrcs", BOX, PIXEL, count) as writer:
        writer.append(images.numpy())
    names = [f"{i + 1:06d}@a.mrcs" for i in range(count)]
    star = folder / "a.star"
    write_new_particles(star, names, (PLAIN,), BOX, 0 * group, parameters(count), poses(count))
    return replace(read_particles(star), optics=optics, optics_group=group)


def predicted(disk: FourierDisk, transfer: torch.Tensor, truth: Poses) -> torch.Tensor:
    volume = map_to_volume(exact_map().values, BOX, disk.radius)
    slices = slice_volume(volume, truth.rotations.float(), disk)
    return slices * shift_phases(truth.shifts_angstrom.float() / PIXEL, disk) * transfer


def correlations(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a.conj() * b).real.sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))


def in_round_images(truth: Poses, stack: ParticleStack) -> Poses:
    """q.t' = k.t for q = M k."""
    matrices = np.stack([each.magnification_matrix for each in stack.optics])[stack.optics_group]
    inverse = torch.from_numpy(np.linalg.inv(matrices)).mT
    return replace(truth, shifts_angstrom=(inverse @ truth.shifts_angstrom[..., None])[..., 0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_of_a_round_image_holds(tmp_path: Path, kind: str) -> None:
    stack = stack_with(tmp_path, kind)
    disk = FourierDisk.of(BOX, 12)
    index = np.arange(COUNT)
    images = exact_images(stack.optics, stack.optics_group, parameters(), poses()).float()
    lenses = Lenses.of(stack, disk)
    truth = in_round_images(poses(), stack)
    corrected = predicted(disk, lenses.transfer(index), truth)
    found = 1 - correlations(lenses.coefficients(images, index), corrected)
    plain = predicted(disk, contrast_transfer(stack.ctf, disk, PIXEL), poses())
    blind = 1 - correlations(images_to_coefficients(images, disk), plain)
    # trilinear slices are good to a tenth of a per cent
    assert found.max() < 0.01 and found.median() < 1e-3
    assert blind[::2].max() < 1e-3 and blind[1::2].median() > 4e-3


def test_beam_tilt_is_a_phase_of_the_third_power(tmp_path: Path) -> None:
    """2 pi Cs lambda^2 s^2 (t.s), by hand."""
    stack = stack_with(tmp_path, "beam tilt")
    disk = FourierDisk.of(BOX)
    images = torch.randn(2, BOX, BOX, generator=torch.Generator().manual_seed(0))
    found = Lenses.of(stack, disk).coefficients(images, np.array([1, 0]))
    plain = images_to_coefficients(images, disk)
    assert torch.equal(found[1], plain[1]), "a plain lens changes nothing"
    x, y = disk.kx / (BOX * PIXEL), disk.ky / (BOX * PIXEL)
    along = 1e-3 * (TILTED["beam_tilt_mrad"][0] * x + TILTED["beam_tilt_mrad"][1] * y)
    phase = 2 * np.pi * 2.7e7 * wavelength_angstrom(300.0) ** 2 * (x**2 + y**2) * along
    torch.testing.assert_close(
        found[0], plain[0] * torch.from_numpy(np.exp(1j * phase)).to(torch.complex64),
        rtol=0, atol=1e-5,
    )  # fmt: skip


def test_a_wave_moves_to_its_frequency_in_the_specimen(tmp_path: Path) -> None:
    """A cosine at M^-1 q of a distorted image is the cosine at q."""
    stack = stack_with(tmp_path, "magnification")
    disk = FourierDisk.of(BOX, 12)
    chosen = 150
    q = np.array([disk.kx[chosen], disk.ky[chosen]], dtype=np.float64)
    k = np.linalg.inv(np.array(STRETCHED["magnification"]).reshape(2, 2)) @ q
    y, x = np.mgrid[:BOX, :BOX] - BOX // 2
    # a window keeps the wave from being cut off
    wave = np.cos(2 * np.pi * (k[0] * x + k[1] * y) / BOX) * np.exp(-(x**2 + y**2) / 50)
    images = torch.from_numpy(wave).float()[None]
    found = Lenses.of(stack, disk).coefficients(images, np.array([1]))[0].abs()
    assert int(found.argmax()) == chosen


def test_frequencies_beyond_the_image_do_not_count(tmp_path: Path) -> None:
    """Where M shrinks, the specimen's outermost frequencies are none of the image's."""
    stack = stack_with(tmp_path, "magnification")
    small = replace(PLAIN, magnification=(0.9, 0.0, 0.0, 0.9))
    stack = replace(stack, optics=(PLAIN, small))
    disk = FourierDisk.of(BOX)
    transfer = Lenses.of(stack, disk).transfer(np.array([0, 1]))
    beyond = np.maximum(np.abs(disk.kx), np.abs(disk.ky)) >= 0.9 * BOX / 2
    assert beyond.any() and (transfer[1, beyond] == 0).all() and (transfer[0, beyond] != 0).any()
    assert (transfer[1, ~beyond] != 0).any()


@pytest.mark.parametrize("kind", ["magnification", "beam tilt"])
def test_map_and_poses_come_back_with_the_correction_alone(tmp_path: Path, kind: str) -> None:
    count = 800
    stack = stack_with(tmp_path, kind, count, noise=NOISE).select(np.arange(1, count, 2))
    truth = in_round_images(poses(count).select(torch.arange(1, count, 2)), stack)
    agreements, errors = [], []
    for each in (stack, replace(stack, optics=(PLAIN, PLAIN))):
        prepared = prepare_particles(each, masked=False)
        agreements.append(map_agreement(prepared, truth))
        errors.append(pose_error_degrees(prepared, truth))
    # what is missing without a distortion is noise
    assert agreements[0] > 0.98 and 1 - agreements[1] > 1.5 * (1 - agreements[0])
    assert errors[0] < 1 and errors[1] > 1.5 * errors[0]


def map_agreement(prepared: PreparedParticles, truth: Poses) -> float:
    """The worst FSC, to 9 Angstrom, of the exact map and that made at the true poses."""
    disk = prepared.disk
    sums = SliceSums.of_images(
        prepared.images(),
        truth.rotations.float(),
        truth.shifts_angstrom.float() / PIXEL,
        margin_for(disk.radius),
        torch.eye(3)[None],
    )
    prior = torch.full((BOX // 2,), 1e-3)
    volume = wiener_volume(sums.numerator, sums.denominator, prior, disk.radius)
    density = volume_to_map(volume, BOX, BOX)
    return float(fourier_shell_correlation(density, exact_map().values)[1:11].min())


def pose_error_degrees(prepared: PreparedParticles, truth: Poses) -> float:
    """Median, of poses refined against the exact map from the true ones."""
    # images are normalised to noise of deviation 1
    volume = map_to_volume(exact_map().values / NOISE, BOX, prepared.disk.radius)
    rotations = truth.rotations.float()
    shifts = truth.shifts_angstrom.float() / PIXEL
    found = GaussNewton().refine(volume, prepared.images(), rotations, shifts)
    return float(torch.rad2deg(roma.rotmat_geodesic_distance(found.rotations, rotations)).median())


@pytest.mark.parametrize("kind", [None, "beam tilt", "magnification"])
def test_phase_flipped_images_have_the_modulus_of_the_ctf(tmp_path: Path, kind: str | None) -> None:
    """Of the groups that are; sign times image is what the model then predicts."""
    stack = stack_with(tmp_path, kind or "beam tilt")
    aberrated = PLAIN if kind is None else stack.optics[1]
    stack = replace(stack, optics=(PLAIN, aberrated))
    flipped = replace(stack, optics=(PLAIN, replace(aberrated, phase_flipped=True)))
    disk = FourierDisk.of(BOX, 12)
    index = np.arange(COUNT)
    transfer, modulus = (Lenses.of(each, disk).transfer(index) for each in (stack, flipped))
    assert (transfer[1::2] < 0).any()
    assert torch.equal(modulus[::2], transfer[::2])
    assert torch.equal(modulus[1::2], transfer[1::2].abs())
