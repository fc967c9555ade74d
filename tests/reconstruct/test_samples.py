"""The pictures kept with a run: the right particles, and the map's own prediction of them."""

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
from cryospin.reconstruct.samples import PIXELS, chosen, write_rejected_samples, write_samples
from cryospin.types import DensityMap, ParticleStack, Poses
from phantoms import Blobs, random_turns

COUNT, BOX, PIXEL = 40, 48, 3.0
OBJECT = Blobs.random(1)


@pytest.fixture
def poses() -> Poses:
    shifts = torch.randn(COUNT, 2, generator=torch.Generator().manual_seed(2)) * 4
    return Poses(random_turns(COUNT, 3).float(), shifts, torch.linspace(1, 0, COUNT))


@pytest.fixture
def stack(tmp_path: Path, poses: Poses) -> ParticleStack:
    """Noiseless images of OBJECT at the poses."""
    columns = torch.tensor([[1e4, 1e4, 0, 0, 300, 2.7, 0.1]] * COUNT).T
    ctf = CtfParameters(*columns)
    disk = FourierDisk.of(BOX)
    slices = OBJECT.coefficients(poses.rotations, disk, poses.shifts_angstrom.double() / PIXEL)
    images = coefficients_to_images(slices * contrast_transfer(ctf, disk, PIXEL), disk)
    with StackWriter(tmp_path / "a.mrcs", BOX, PIXEL, COUNT) as writer:
        writer.append(images.numpy().astype(np.float32))
    names = [f"{i + 1:06d}@a.mrcs" for i in range(COUNT)]
    optics = (Optics("g", PIXEL, 300.0, 2.7, 0.1),)
    write_new_particles(tmp_path / "in.star", names, optics, BOX, np.zeros(COUNT, int), ctf)
    return read_particles(tmp_path / "in.star")


MAP = DensityMap(OBJECT.density(BOX).float(), PIXEL)


@pytest.mark.parametrize("half_angstrom", [9.0, None])
def test_a_true_map_predicts_its_images(
    tmp_path: Path, stack: ParticleStack, poses: Poses, half_angstrom: float | None
) -> None:
    write_samples(tmp_path / "s.npz", stack, MAP, poses, half_angstrom)
    kept = np.load(tmp_path / "s.npz")
    assert kept["image"].shape == kept["reprojection"].shape == (8, PIXELS, PIXELS)
    # trilinear slices of a map sampled for this radius are off by some per cent
    assert kept["correlation"].min() > 0.98
    radius = BOX * PIXEL / kept["lowpass_angstrom"]
    assert radius == pytest.approx(BOX * PIXEL / 18.0 if half_angstrom else 8.0)
    for image, other in zip(kept["image"], kept["reprojection"], strict=True):
        assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.98


def test_a_wrong_pose_shows(tmp_path: Path, stack: ParticleStack, poses: Poses) -> None:
    moved = replace(poses, shifts_angstrom=poses.shifts_angstrom + 30.0)
    write_samples(tmp_path / "s.npz", stack, MAP, moved, 9.0)
    assert np.load(tmp_path / "s.npz")["correlation"].max() < 0.7


def test_the_sure_and_the_unsure_are_chosen() -> None:
    confidence = np.random.default_rng(0).permutation(1000) / 1000
    index, groups = chosen(confidence)
    assert groups == ["sure"] * 3 + ["middling"] * 2 + ["unsure"] * 3
    assert (np.diff(confidence[index]) < 0).all()
    assert confidence[index[0]] > 0.95 and confidence[index[-1]] < 0.05
    np.testing.assert_array_equal(index, chosen(confidence)[0])
    assert len(chosen(np.ones(100))[0]) == 8


def test_two_of_each_reason_to_reject(tmp_path: Path, stack: ParticleStack) -> None:
    bad = {"dust": np.array([1, 4, 7]), "NaN": np.array([2]), "no": np.array([], dtype=int)}
    write_rejected_samples(tmp_path / "r.npz", stack, bad)
    kept = np.load(tmp_path / "r.npz")
    assert kept["reason"].tolist() == ["dust", "dust", "NaN"]
    assert kept["name"].tolist() == [stack.uids[i] for i in (1, 4, 2)]
    assert kept["image"].shape == (3, BOX, BOX)
    write_rejected_samples(tmp_path / "r.npz", stack, {})
    assert not (tmp_path / "r.npz").exists()
