"""Sums over rings against the matrix of points by rings they replace, and in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.particles.prepare import radius_grid
from cryospin.particles.rings import Rings


@pytest.mark.parametrize("box", [4, 16, 30, 64])
def test_pixels_against_the_plain_matrix(box: int) -> None:
    images = torch.randn(3, box, box, generator=torch.Generator().manual_seed(box))
    ring = radius_grid(box).round().long().flatten()
    inside = ring < box // 2
    member = torch.nn.functional.one_hot(ring[inside], box // 2).float()
    expected = images.flatten(1)[:, inside] @ (member / member.sum(0))
    means = Rings.of_pixels(box).means(images.flatten(1))
    torch.testing.assert_close(means, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("box", [4, 16, 64])
def test_shells_against_the_plain_matrix(box: int) -> None:
    disk = FourierDisk.of(box)
    values = torch.randn(3, len(disk), generator=torch.Generator().manual_seed(box))
    rings = Rings.of_labels(disk.shell)
    member = torch.nn.functional.one_hot(torch.as_tensor(disk.shell).long()).float()
    torch.testing.assert_close(rings.sums(values), values @ member, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rings.population, member.double().sum(0))


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
