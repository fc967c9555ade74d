"""Images in a file are those in memory, rounded to 16 bits, in whatever order they are read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import ResourceError
from cryospin.fourier.image_batch import ImageBatch
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.particles import stored
from cryospin.particles.prepare import Preparation, PreparedParticles
from cryospin.particles.stored import StoredParticles, store_particles
from cryospin.types import ParticleStack

BOX, PIXEL, COUNT = 64, 3.0, 230


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> ParticleStack:
    """Noise of two optics groups, one of them stronger towards low frequencies."""
    folder = tmp_path_factory.mktemp("noise")
    images = np.random.default_rng(1).normal(size=(COUNT, BOX, BOX)).astype(np.float32)
    images[::2] += np.cumsum(images[::2], axis=2) * 0.1
    with StackWriter(folder / "stack.mrcs", BOX, PIXEL, COUNT) as writer:
        writer.append(images)
    defocus = torch.linspace(8000, 20000, COUNT, dtype=torch.float64)
    same = torch.ones_like(defocus)
    ctf = CtfParameters(
        defocus + 300, defocus, 40 * same, 0 * same, 300 * same, 2.7 * same, 0.1 * same
    )
    names = [f"{i + 1:06d}@stack.mrcs" for i in range(COUNT)]
    optics = tuple(Optics(f"group{g}", PIXEL, 300.0, 2.7, 0.1) for g in range(2))
    groups = np.arange(COUNT) % 2
    write_new_particles(folder / "particles.star", names, optics, BOX, groups, ctf)
    return read_particles(folder / "particles.star")


@pytest.fixture(scope="module")
def in_memory(stack: ParticleStack) -> PreparedParticles:
    return Preparation.of(stack).in_memory()


@pytest.fixture
def in_file(stack: ParticleStack, tmp_path: Path) -> StoredParticles:
    return store_particles(Preparation.of(stack), tmp_path / "a b" / "half1.coefficients", "key")


def assert_rounded(found: ImageBatch, exact: ImageBatch) -> None:
    """To half a unit in the last of 11 bits, and what is next to nothing to 1e-6."""
    assert found.disk is exact.disk or len(found.disk) == len(exact.disk)
    for mine, true in ((found.coefficients, exact.coefficients), (found.ctf, exact.ctf)):
        mine, true = (torch.view_as_real(v) if v.is_complex() else v for v in (mine, true))
        assert (mine - true).abs().sub(2**-11 * true.abs()).max() < 1e-6


@pytest.mark.parametrize("radius", [None, 5.0, 12.0, 13.0, 18.0, 25.0, 31.0, 100.0])
def test_batches_within_any_radius(
    in_file: StoredParticles, in_memory: PreparedParticles, radius: float | None
) -> None:
    for rows in (slice(0, COUNT), slice(17, 60), torch.tensor([200, 3, 3, 77])):
        assert_rounded(in_file.batch(rows, radius), in_memory.batch(rows, radius))


def test_some_of_some_of_them(in_file: StoredParticles, in_memory: PreparedParticles) -> None:
    first, second = np.arange(200, 20, -3), np.array([5, 4, 9])
    some, expected = (p.select(first).select(second) for p in (in_file, in_memory))
    assert some.uids == expected.uids
    assert torch.equal(some.optics_group, expected.optics_group)
    assert_rounded(some.images(), expected.images())
    near = in_file.within(10.0)
    assert near.disk.radius == 10.0
    assert_rounded(near.images(), in_memory.within(10.0).images())


def test_a_better_noise_spectrum(
    in_file: StoredParticles, stack: ParticleStack, in_memory: PreparedParticles
) -> None:
    better = in_memory.noise_power * torch.linspace(0.5, 2.0, in_memory.noise_power.shape[1])
    own = Preparation.of(stack).in_memory().rewhitened(better)
    found = in_file.rewhitened(better).batch(torch.tensor([8, 1, 100]), 20.0)
    exact = own.batch(torch.tensor([8, 1, 100]), 20.0)
    torch.testing.assert_close(found.coefficients, exact.coefficients, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.ctf, exact.ctf, rtol=1e-3, atol=1e-5)


def test_passes_in_portions_see_everyone_once(in_file: StoredParticles) -> None:
    seen = [rows for rows, _ in in_file.batches(100, 8.0, done=30)]
    assert torch.cat(seen).tolist() == list(range(30, COUNT))
    assert in_file.portion(8.0) > in_file.portion(31.0) >= 1


def test_rounding_adds_no_noise_to_speak_of(
    in_file: StoredParticles, in_memory: PreparedParticles
) -> None:
    """A thousandth of the variance of the noise, which is 1."""
    error = in_file.images().coefficients - in_memory.images().coefficients
    assert error.abs().square().mean() < 1e-3


def test_a_whole_file_is_taken_again(
    stack: ParticleStack, in_file: StoredParticles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the images were read again")

    path, preparation = in_file.file.path, Preparation.of(stack)
    with monkeypatch.context() as patched:
        patched.setattr(stored, "_written", refuse)
        again = store_particles(preparation, path, "key")
        assert torch.equal(again.images().coefficients, in_file.images().coefficients)
        with pytest.raises(AssertionError):
            store_particles(preparation, path, "another run's")
    for damage in ("cut", "no note", "note is nonsense"):
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-1])
        elif damage == "no note":
            path.with_suffix(".json").unlink()
        else:
            path.with_suffix(".json").write_text("{")
        again = store_particles(preparation, path, "key")
        assert torch.equal(again.images().ctf, in_file.images().ctf), damage


def test_strong_images_take_32_bits(
    stack: ParticleStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_LARGEST", 3.0)
    preparation = Preparation.of(stack)
    found = store_particles(preparation, tmp_path / "x.coefficients", "key")
    assert found.file.dtype == np.float32
    assert json.loads((tmp_path / "x.json").read_text())["dtype"] == "float32"
    exact = preparation.in_memory().images()
    assert torch.equal(found.images().coefficients, exact.coefficients)
    assert torch.equal(found.images().ctf, exact.ctf)


def test_a_full_disk(stack: ParticleStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored, "_write_all", full)
    path = tmp_path / "x.coefficients"
    with pytest.raises(ResourceError, match=r"No space left.*\n.*--scratch"):
        store_particles(Preparation.of(stack), path, "key")
    assert not [*tmp_path.iterdir()]


def test_rows_of_another_file_are_not_read(in_file: StoredParticles) -> None:
    """A file that holds fewer rows than asked for is no silent end of the images."""
    longer = replace(in_file, file_rows=np.arange(1, COUNT + 1))
    with pytest.raises((IndexError, RuntimeError)):
        longer.batch(torch.tensor([COUNT - 1]))
