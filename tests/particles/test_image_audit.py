"""Bad images are found, each with its reason, wherever they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.io.star import read_star
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.image_audit import (
    CONSTANT,
    DUPLICATE,
    NOT_FINITE,
    OVER_BRIGHT,
    audit_images,
)
from cryospin.particles.rejection import REASON_COLUMN, sound_particles, write_rejected
from cryospin.types import ParticleStack

COUNT, BOX = 140, 16


def stack_of(folder: Path, images: np.ndarray) -> ParticleStack:
    """`images` dealt out over two files."""
    for part, name in enumerate("ab"):
        with StackWriter(folder / f"{name}.mrcs", BOX, 1.5, len(images[part::2])) as writer:
            writer.append(images[part::2])
    names = [f"{i // 2 + 1:06d}@{'ab'[i % 2]}.mrcs" for i in range(len(images))]
    values = (15000.0, 15000.0, 30.0, 0.0, 300.0, 2.7, 0.1)
    ctf = CtfParameters(*(value * torch.ones(len(images)) for value in values))
    group = Optics("group", 1.5, 300.0, 2.7, 0.1)
    write_new_particles(
        folder / "in.star", names, (group,), BOX, np.zeros(len(images), dtype=int), ctf
    )
    return read_particles(folder / "in.star")


def noise(seed: int = 3, count: int = COUNT) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, BOX, BOX)).astype(np.float32)


def test_sound_images_pass_and_progress_is_told(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, noise() * 7 + 1000)
    seen: list[tuple[int, int]] = []
    audit = audit_images(stack, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (COUNT, COUNT)
    assert not len(audit.rejected)
    np.testing.assert_allclose(audit.background_mean, 1000, atol=3.0)
    np.testing.assert_allclose(audit.background_deviation, 7, rtol=0.35)
    assert sound_particles(stack, audit) is stack
    assert write_rejected(tmp_path / "rejected.star", stack, audit) == 0
    assert not (tmp_path / "rejected.star").exists()


def test_every_fault_has_its_reason(tmp_path: Path) -> None:
    images = noise()
    images[5, 3, 4] = np.nan
    images[6, 0, 0] = np.inf
    images[7, 1, 1], images[7, 1, 2] = np.inf, -np.inf
    images[8] = 3.5
    images[9] = 0.0
    images[11, 2, 2] = 2000.0
    images[13, 2, 2] = -2000.0
    images[40] = images[20]
    stack = stack_of(tmp_path, images)
    audit = audit_images(stack)
    found = {reason: index.tolist() for reason, index in audit.bad.items()}
    assert found == {
        NOT_FINITE: [5, 6, 7],
        CONSTANT: [8, 9],
        OVER_BRIGHT: [11, 13],
        DUPLICATE: [40],
    }
    assert audit.original_of == {40: 20}
    kept = sound_particles(stack, audit)
    assert len(kept) == COUNT - 8
    assert not {stack.uids[i] for i in audit.rejected} & set(kept.uids)


def test_order_and_threads_change_nothing(tmp_path: Path) -> None:
    images = noise()
    images[40] = images[20]
    stack = stack_of(tmp_path, images)
    turned = stack.select(np.arange(COUNT)[::-1].copy())
    one, other = audit_images(stack), audit_images(turned)
    assert torch.equal(one.rings.power, other.rings.power)
    assert [turned.uids[i] for i in other.bad[DUPLICATE]] == ["000011@a.mrcs"]


def test_noiseless_images_are_not_over_bright(tmp_path: Path) -> None:
    images = np.zeros((COUNT, BOX, BOX), dtype=np.float32)
    rng = np.random.default_rng(0)
    images[:, 8, 8] = rng.uniform(90, 110, COUNT)
    images += 0.01 * noise()
    assert not len(audit_images(stack_of(tmp_path, images)).rejected)


def test_rejected_rows_keep_their_columns(tmp_path: Path) -> None:
    images = noise()
    images[9] = np.nan
    images[40] = images[20]
    stack = stack_of(tmp_path, images)
    assert write_rejected(tmp_path / "rejected.star", stack, audit_images(stack)) == 2
    star = read_star(tmp_path / "rejected.star")
    rows = star.blocks["particles"].columns
    assert rows["rlnImageName"] == ["000005@b.mrcs", "000021@a.mrcs"]
    assert rows["rlnDefocusU"] == ["15000.000000"] * 2
    assert NOT_FINITE in rows[REASON_COLUMN][0] and "000011@a.mrcs" in rows[REASON_COLUMN][1]
    assert "optics" in star.blocks


def test_too_many_bad_images_are_refused(tmp_path: Path) -> None:
    images = noise()
    images[[12, 30, *range(60, 75)]] = np.nan
    stack = stack_of(tmp_path, images)
    audit = audit_images(stack)
    with pytest.raises(BadDataError, match=r"17 of 140 images are bad") as refusal:
        sound_particles(stack, audit)
    assert (refusal.value.row, refusal.value.column) == (13, "rlnImageName")
    assert refusal.value.fix and "--allow-bad" in refusal.value.fix
    assert len(sound_particles(stack, audit, allow_bad=True)) == COUNT - 17
    with pytest.raises(BadDataError):
        sound_particles(stack, audit, allow_bad=True, least=130)


def test_declared_signs_are_respected(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, noise() + 5)
    audit = audit_images(replace(stack, image_sign=-np.ones(COUNT)))
    assert np.nanmedian(audit.background_mean) == pytest.approx(-5, abs=0.3)
