"""What a run does before it begins: bad particles out, contrast decided, both told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.reconstruct.screening import screened
from cryospin.types import ParticleStack

COUNT, BOX, PIXEL = 200, 24, 5.0


def stack_of(folder: Path, sign: float, bad: list[int]) -> ParticleStack:
    """A bright (sign 1) or dark disc in noise; no oscillation of the CTF in so coarse a box."""
    axis = np.arange(BOX) - BOX // 2
    disc = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / 2.5**2)
    noise = np.random.default_rng(0).normal(size=(COUNT, BOX, BOX))
    images = (noise + sign * 3.0 * disc).astype(np.float32)
    images[bad] = np.nan
    with StackWriter(folder / "a.mrcs", BOX, PIXEL, COUNT) as writer:
        writer.append(images)
    constants = (9000.0, 9000.0, 0.0, 0.0, 300.0, 2.7, 0.1)
    ctf = CtfParameters(*(value * torch.ones(COUNT) for value in constants))
    names = [f"{i + 1:06d}@a.mrcs" for i in range(COUNT)]
    optics = (Optics("g", PIXEL, 300.0, 2.7, 0.1),)
    group = np.zeros(COUNT, dtype=int)
    write_new_particles(folder / "in.star", names, optics, BOX, group, ctf)
    return read_particles(folder / "in.star")


def silent(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize(
    ("sign", "asked", "inverts"),
    [
        (1, "auto", False),
        (-1, "auto", True),
        (-1, "no", False),
        (1, "yes", True),
        (0, "auto", False),
    ],
)
def test_contrast_is_inverted_on_evidence_or_order(
    tmp_path: Path, sign: float, asked: str, inverts: bool
) -> None:
    stack = stack_of(tmp_path, sign, [])
    kept, told = screened(stack, tmp_path, asked, False, silent)
    assert told["contrast_inverted"] is inverts
    assert told["protein_looks"] == {1: "bright", -1: "dark", 0: "uncertain"}[int(sign)]
    assert (kept.image_sign is not None) is inverts
    assert told["rejected"] == 0


def test_bad_particles_are_set_aside_and_told(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, 1, [3, 9])
    kept, told = screened(stack, tmp_path, "auto", False, silent)
    assert (len(kept), told["rejected"]) == (COUNT - 2, 2)
    assert "cryospinReason" in (tmp_path / "rejected.star").read_text()
    pictured = np.load(tmp_path / "rejected.npz")
    assert pictured["name"].tolist() == ["000004@a.mrcs", "000010@a.mrcs"]


def test_too_many_are_refused_but_listed(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, 1, list(range(30)))
    with pytest.raises(BadDataError, match="30 of 200"):
        screened(stack, tmp_path, "auto", False, silent)
    assert (tmp_path / "rejected.star").is_file()
    kept, _ = screened(stack, tmp_path, "auto", True, silent)
    assert len(kept) == COUNT - 30
