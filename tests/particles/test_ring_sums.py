"""Sums over rings against the matrix of points by rings they replace, and in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
import torch

from cryospin.ctf import contrast_transfer
from cryospin.fourier.disk import FourierDisk, coefficients_to_images, images_to_coefficients
from cryospin.io.mrc import StackWriter, read_images
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.background import radius_grid
from cryospin.particles.image_audit import audit_images
from cryospin.particles.pixel_loops import half_plane_shells
from cryospin.particles.ring_sums import RingSampler, RingSums
from cryospin.types import ParticleStack

BOX, COUNT = 32, 230


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> ParticleStack:
    folder = tmp_path_factory.mktemp("stack")
    rng = np.random.default_rng(5)
    with StackWriter(folder / "a.mrcs", BOX, 4.0, COUNT) as writer:
        writer.append(rng.normal(3.0, 2.0, (COUNT, BOX, BOX)))
    u = torch.from_numpy(rng.uniform(8000, 25000, COUNT)).float()
    phase, angle, kv, cs, contrast = (v * torch.ones(COUNT) for v in (0.0, 20.0, 300.0, 2.7, 0.1))
    ctf = CtfParameters(u, u - 400, angle, phase, kv, cs, contrast)
    names = [f"{i + 1:06d}@a.mrcs" for i in range(COUNT)]
    optics = (Optics("group", 4.0, 300.0, 2.7, 0.1),)
    write_new_particles(folder / "in.star", names, optics, BOX, np.zeros(COUNT, int), ctf)
    return read_particles(folder / "in.star")


def test_sums_of_a_block_against_plain_tensors(stack: ParticleStack) -> None:
    sampler = RingSampler.of(stack, seed=0)
    disk, inner, groups = sampler.disk, sampler.inner, sampler.groups
    assert groups == 2
    index = np.array([7, 200, 3, 90, 11])
    chosen = np.array([0, 1, 3, 4])
    images = read_images(stack, index)
    mean, scale = np.linspace(2.5, 3.5, 5), np.linspace(1.8, 2.4, 5)
    found = sampler.sums_of(images.numpy(), chosen, index, mean, scale)

    level, factor = (
        torch.as_tensor(value[chosen]).float()[:, None, None] for value in (mean, scale)
    )
    normal = (images[chosen] - level) / factor
    coefficients = images_to_coefficients(normal * torch.as_tensor(sampler.mask), disk)
    shell = torch.nn.functional.one_hot(torch.as_tensor(disk.shell).long()).float()
    group = torch.as_tensor(sampler.group[index[chosen]])
    member = torch.nn.functional.one_hot(group, groups).float().T
    power = member @ (coefficients.abs().square() @ shell)
    torch.testing.assert_close(found.power.float(), power, atol=1e-4, rtol=1e-5)
    field = member @ (coefficients.real @ shell)
    torch.testing.assert_close(found.mean_field.float(), field, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found.count.float(), member.sum(1))

    ring = radius_grid(BOX).round().long().flatten()
    rings = torch.nn.functional.one_hot(ring).float()[:, : BOX // 2]
    variance = (normal.square().flatten(1) @ rings).sum(0) / rings.sum(0)
    torch.testing.assert_close(found.variance.float(), variance, atol=1e-5, rtol=1e-5)

    ctf = stack.ctf.select(torch.as_tensor(index[chosen]))
    sign = contrast_transfer(ctf, inner, stack.pixel_size_angstrom).sign().float()
    flipped = coefficients[:, : len(inner)] * sign
    flipped[:, 0] = 0
    box = sampler.inner_box
    assert box < BOX
    shown = coefficients_to_images(flipped, inner, box).flatten(1)
    ring = radius_grid(box).round().long().flatten()
    rings = torch.nn.functional.one_hot(ring).float()[:, : box // 2]
    profiles = shown @ rings / rings.sum(0)
    torch.testing.assert_close(found.profiles, profiles, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("box", [4, 16, 30])
def test_shells_of_the_half_plane_are_the_disks(box: int) -> None:
    disk = FourierDisk.of(box)
    shells = half_plane_shells(disk)
    assert np.count_nonzero(shells <= disk.shell.max()) == len(disk)
    np.testing.assert_array_equal(shells[disk.ky % box, disk.kx], disk.shell)


def test_the_sums_are_the_same_on_any_number_of_threads(stack: ParticleStack) -> None:
    few, many = (_on_threads(stack, threads) for threads in (1, numba.config.NUMBA_NUM_THREADS))
    for name in ("count", "power", "mean_field", "profiles", "variance_profile"):
        assert torch.equal(getattr(few, name), getattr(many, name)), name


def _on_threads(stack: ParticleStack, threads: int) -> RingSums:
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        return audit_images(stack).rings
    finally:
        numba.set_num_threads(before)


def test_a_pass_over_large_images_takes_little_memory() -> None:
    """By the peak of a process of its own: 4 MB an image, 5 GB if its rings were a matrix."""
    program = """
import resource, tempfile, numpy as np, torch
from pathlib import Path
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.particles.image_audit import audit_images
from cryospin.types import CtfParameters, Optics
box, count = 1024, 6
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    rng = np.random.default_rng(0)
    with StackWriter(folder / "a.mrcs", box, 1.5, count) as writer:
        for _ in range(count):
            writer.append(rng.standard_normal((1, box, box), dtype=np.float32))
    values = (15000.0, 15000.0, 30.0, 0.0, 300.0, 2.7, 0.1)
    ctf = CtfParameters(*(v * torch.ones(count) for v in values))
    names = [f"{i + 1:06d}@a.mrcs" for i in range(count)]
    optics = (Optics("group", 1.5, 300.0, 2.7, 0.1),)
    write_new_particles(folder / "in.star", names, optics, box, np.zeros(count, int), ctf)
    stack = read_particles(folder / "in.star")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    audit_images(stack)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) < 400
