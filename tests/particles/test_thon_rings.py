"""The claimed CTF is confirmed when right, and told to be wrong, how, when it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.ctf import contrast_transfer
from cryospin.fourier.disk import FourierDisk, coefficients_to_images
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.contrast import BRIGHT, DARK, UNCERTAIN, contrast_sign, inverted
from cryospin.particles.findings import ring_warnings
from cryospin.particles.image_audit import ImageAudit, audit_images
from cryospin.particles.ring_transfer import ring_squares, ring_transfers
from cryospin.particles.thon_rings import (
    CONFIRMED,
    OTHER_FITS,
    SILENT,
    ThonRings,
    compare_thon_rings,
)
from cryospin.types import ParticleStack

COUNT, BOX, PIXEL = 1200, 48, 3.0


def claimed_ctf() -> CtfParameters:
    rng = np.random.default_rng(1)
    u = torch.as_tensor(rng.uniform(10000, 28000, COUNT)).float()
    values = (0.0, 300.0, 2.7, 0.1)
    phase, kv, cs, contrast = (value * torch.ones(COUNT) for value in values)
    return CtfParameters(u, u - 300, 40 * torch.ones(COUNT), phase, kv, cs, contrast)


def write(folder: Path, flipped: bool = False, signal: float = 1.0) -> ParticleStack:
    """Random compact blobs, each of its own shape, through the CTF, with noise."""
    generator = torch.Generator().manual_seed(2)
    disk = FourierDisk.of(BOX)
    axis = torch.arange(BOX, dtype=torch.float32) - BOX // 2
    images = torch.zeros(COUNT, BOX, BOX)
    for _ in range(12):
        x, y = 6.0 * torch.randn(2, COUNT, generator=generator)
        across = torch.exp(-((axis - x[:, None]) ** 2) / 2)
        down = torch.exp(-((axis - y[:, None]) ** 2) / 2)
        images += down[:, :, None] * across[:, None, :]
    ctf = claimed_ctf()
    transfer = contrast_transfer(ctf, disk, PIXEL).float()
    transfer = transfer.abs() if flipped else transfer
    spectrum = torch.fft.rfft2(images, norm="ortho")
    sign = 1.0 - 2.0 * torch.as_tensor((disk.kx + disk.ky) % 2)
    values = spectrum[:, torch.as_tensor(disk.ky % BOX).long(), torch.as_tensor(disk.kx).long()]
    images = coefficients_to_images(values * sign * transfer, disk)
    noise = torch.randn(COUNT, BOX, BOX, generator=generator)
    images = signal * images / images.std() * 0.7 + noise
    with StackWriter(folder / "a.mrcs", BOX, PIXEL, COUNT) as writer:
        writer.append(images.numpy())
    names = [f"{i + 1:06d}@a.mrcs" for i in range(COUNT)]
    group = Optics("group", PIXEL, 300.0, 2.7, 0.1)
    write_new_particles(folder / "in.star", names, (group,), BOX, np.zeros(COUNT, dtype=int), ctf)
    return read_particles(folder / "in.star")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[ParticleStack, ImageAudit]:
    stack = write(tmp_path_factory.mktemp("sound"))
    return stack, audit_images(stack)


def judged(sound: tuple[ParticleStack, ImageAudit], factor: float = 1.0, **changes) -> ThonRings:
    stack, audit = sound
    ctf = stack.ctf
    ctf = replace(
        ctf,
        defocus_u_angstrom=ctf.defocus_u_angstrom * factor,
        defocus_v_angstrom=ctf.defocus_v_angstrom * factor,
    )
    return compare_thon_rings(replace(stack, ctf=ctf, **changes), audit.rings)


def test_a_right_ctf_is_confirmed(sound: tuple[ParticleStack, ImageAudit]) -> None:
    found = judged(sound)
    assert found.verdict == CONFIRMED and found.correlation > 0.8
    assert found.best_factor == pytest.approx(1.0, abs=0.1)


def test_wrong_units_pixel_and_voltage_are_told(
    sound: tuple[ParticleStack, ImageAudit],
) -> None:
    nanometres = judged(sound, factor=0.1)
    assert nanometres.verdict == OTHER_FITS
    assert nanometres.best_factor == pytest.approx(10, rel=0.1)
    assert any("nanometres" in words for words in nanometres.explanations)
    pixel = judged(sound, pixel_size_angstrom=1.25 * PIXEL)
    assert pixel.verdict == OTHER_FITS
    assert pixel.best_factor == pytest.approx(1.25**2, rel=0.1)
    stack, audit = sound
    ctf = replace(stack.ctf, voltage_kv=torch.full((COUNT,), 200.0))
    voltage = compare_thon_rings(replace(stack, ctf=ctf), audit.rings)
    assert voltage.verdict == OTHER_FITS
    assert any("300 kV" in words for words in voltage.explanations)


def test_the_mean_of_centred_particles_tells_of_flipped_phases(
    tmp_path: Path, sound: tuple[ParticleStack, ImageAudit]
) -> None:
    assert judged(sound).phase_flipped is not True
    flipped = write(tmp_path, flipped=True, signal=3.0)
    found = compare_thon_rings(flipped, audit_images(flipped).rings)
    assert found.verdict == CONFIRMED and found.phase_flipped is not False


def declared(stack: ParticleStack, flipped: bool) -> ParticleStack:
    return replace(
        stack, optics=tuple(replace(each, phase_flipped=flipped) for each in stack.optics)
    )


def test_flipped_phases_that_are_declared_are_no_doubt(
    tmp_path: Path, sound: tuple[ParticleStack, ImageAudit]
) -> None:
    """Neither against the table, nor for the contrast, whose sign needs that of the CTF."""
    flipped = write(tmp_path, flipped=True, signal=3.0)
    right = declared(flipped, True)
    rings = audit_images(right).rings
    assert contrast_sign(rings).protein == BRIGHT
    found = compare_thon_rings(right, rings)
    assert found.declared_flipped and not ring_warnings(found)


@pytest.mark.parametrize("measured", [True, False, None])
@pytest.mark.parametrize("said", [True, False, None])
def test_a_contradiction_is_told(
    sound: tuple[ParticleStack, ImageAudit], measured: bool | None, said: bool | None
) -> None:
    found = replace(judged(sound), phase_flipped=measured, declared_flipped=said)
    warnings = ring_warnings(found)
    assert len(warnings) == (None not in (measured, said) and measured != said)
    assert not warnings or f"rlnCtfDataArePhaseFlipped to {int(bool(measured))}" in warnings[0]


def test_noise_says_nothing(tmp_path: Path) -> None:
    stack = write(tmp_path, signal=0.0)
    audit = audit_images(stack)
    assert compare_thon_rings(stack, audit.rings).verdict == SILENT
    assert contrast_sign(audit.rings).protein == UNCERTAIN


def test_contrast_sign_is_odd(sound: tuple[ParticleStack, ImageAudit]) -> None:
    stack, audit = sound
    bright = contrast_sign(audit.rings)
    dark = contrast_sign(audit_images(inverted(stack)).rings)
    assert (bright.protein, dark.protein) == (BRIGHT, DARK)
    assert dark.sigmas == pytest.approx([-sigma for sigma in bright.sigmas], rel=1e-3)
    twice = inverted(inverted(stack))
    assert twice.image_sign is not None and (twice.image_sign == 1).all()


def test_rings_are_the_disks_ctf() -> None:
    """The closed form on rings against `contrast_transfer` averaged over shells."""
    one = claimed_ctf().select(slice(0, 1))
    disk = FourierDisk.of(256)
    shell = torch.as_tensor(disk.shell).long()
    transfer = contrast_transfer(one, disk, 1.5)[0].double()
    population = torch.bincount(shell)
    frequencies = np.arange(5, 60) / (256 * 1.5)
    width = 1 / (256 * 1.5)
    squares = ring_squares(one, frequencies, width, np.array([1.0]))[0]
    signed, absolute = ring_transfers(one, frequencies, width)
    for ours, values in ((squares, transfer**2), (signed, transfer), (absolute, transfer.abs())):
        mean = torch.zeros(len(population)).double().index_add_(0, shell, values) / population
        # three radii stand for a ring whose coefficients lie as the grid has them
        np.testing.assert_allclose(ours, mean[5:60].numpy(), atol=0.06)
