"""The particle's diameter from its images: within its bounds for shapes, paddings, neighbours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.contrast import inverted
from cryospin.particles.diameter import ParticleSize, particle_size
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.noise import draw_noise
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.projection import GaussianMolecule
from cryospin.simulate.transfer import apply_ctf
from cryospin.types import ParticleStack

BOX, COUNT, SHIFT = 48, 400, 2.0
# shifts blur a small hollow particle into a wider one
LOWEST, HIGHEST, HIGHEST_HOLLOW = 0.9, 1.15, 1.25


def shell_molecule(radius: float = 60.0) -> GaussianMolecule:
    """Hollow, as apoferritin is."""
    generator = np.random.default_rng(5)
    directions = generator.normal(size=(1500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distance = generator.uniform(0.68, 1.0, size=(1500, 1)) ** (1 / 3) * radius
    return GaussianMolecule(directions * distance, np.full(1500, 18.5), np.full(1500, 1.3))


def rod_molecule(length: float = 200.0) -> GaussianMolecule:
    generator = np.random.default_rng(6)
    positions = generator.uniform(-0.5, 0.5, size=(1500, 3)) * [length, 40.0, 30.0]
    return GaussianMolecule(positions, np.full(1500, 18.5), np.full(1500, 1.3)).centred()


MOLECULES = {
    "domains": chain_molecule(seed=1),
    "other domains": chain_molecule(seed=2),
    "hollow": shell_molecule(),
    "rod": rod_molecule(),
}


def true_radius(molecule: GaussianMolecule) -> float:
    distance = np.linalg.norm(molecule.positions_angstrom, axis=1)
    return float(np.quantile(distance, 0.98))


def stack_of(
    folder: Path, molecule: GaussianMolecule, fills: float, crowded: bool, snr: float = 0.1
) -> ParticleStack:
    """Images whose boxes are `fills` full, by the diameter; crowded: neighbours reach into them."""
    pixel = 2 * true_radius(molecule) / (fills * BOX)
    generator = np.random.default_rng(3)
    poses = draw_poses(COUNT, max_shift_pixel=SHIFT, pixel_size_angstrom=pixel, seed=4)
    rotations, shifts = poses.rotations.numpy(), poses.shifts_angstrom.numpy() / pixel
    wide = 2 * BOX
    images = molecule.project(rotations, shifts, wide, pixel)
    if crowded:
        for _ in range(3):
            angle = generator.uniform(0, 2 * np.pi, COUNT)
            apart = generator.uniform(1.0, 1.5, COUNT) * fills * BOX
            beside = apart[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            images += molecule.project(rotations[::-1].copy(), beside, wide, pixel)
    ones = torch.ones(COUNT, dtype=torch.float64)
    defocus = torch.linspace(8_000, 26_000, COUNT, dtype=torch.float64)
    ctf = CtfParameters(defocus, defocus, 0 * ones, 0 * ones, 300 * ones, 2.7 * ones, 0.1 * ones)
    seen = apply_ctf(torch.from_numpy(images), ctf, pixel)
    inner = slice(wide // 2 - BOX // 2, wide // 2 + BOX // 2)
    seen = seen[:, inner, inner]
    sigma = float(seen.var(dim=(1, 2)).mean().sqrt()) / snr**0.5
    seen = seen + sigma * draw_noise(7, np.arange(COUNT), BOX, 0.0)
    folder.mkdir(exist_ok=True)
    with StackWriter(folder / "p.mrcs", BOX, pixel, COUNT) as stack:
        stack.append(seen.numpy())
    names = [f"{i + 1:06d}@p.mrcs" for i in range(COUNT)]
    optics = (Optics("one", pixel, 300.0, 2.7, 0.1),)
    write_new_particles(folder / "p.star", names, optics, BOX, np.zeros(COUNT, int), ctf)
    return read_particles(folder / "p.star")


def found_over_true(size: ParticleSize, molecule: GaussianMolecule) -> float:
    assert size.diameter_angstrom is not None
    return size.diameter_angstrom / (2 * true_radius(molecule))


@pytest.mark.parametrize("crowded", [False, True], ids=["alone", "crowded"])
@pytest.mark.parametrize("fills", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("name", MOLECULES)
def test_the_sphere_that_holds_98_percent_is_found(
    tmp_path: Path, name: str, fills: float, crowded: bool
) -> None:
    stack = stack_of(tmp_path, MOLECULES[name], fills, crowded)
    size = particle_size(stack, 0, SHIFT)
    highest = HIGHEST_HOLLOW if name == "hollow" else HIGHEST
    assert LOWEST <= found_over_true(size, MOLECULES[name]) <= highest


def test_the_mask_leaves_room_for_shifts_and_a_given_diameter_is_the_masks(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, MOLECULES["domains"], 0.5, False)
    found = particle_size(stack, 0, 3.0)
    assert found.diameter_angstrom is not None and not found.given
    assert found.mask_diameter_angstrom == pytest.approx(
        found.diameter_angstrom + 6.0 * stack.pixel_size_angstrom
    )
    given = particle_size(stack, 0, 3.0, 123.0)
    assert given.summary() == {
        "diameter_angstrom": 123.0,
        "mask_diameter_angstrom": 123.0,
        "given": True,
    }


def test_dark_protein_is_as_large_as_bright(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, MOLECULES["domains"], 0.6, False)
    bright, dark = particle_size(stack, 0, 2.0), particle_size(inverted(stack), 0, 2.0)
    assert dark.diameter_angstrom == pytest.approx(bright.diameter_angstrom)


def test_noise_alone_has_no_size(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, MOLECULES["domains"], 0.6, False, snr=1e-9)
    size = particle_size(stack, 0, 2.0)
    assert size.diameter_angstrom is None and size.mask_diameter_angstrom is None


def test_the_evidence_is_kept(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, MOLECULES["domains"], 0.6, False)
    size = particle_size(stack, 0, 2.0)
    inside = 0.25 * BOX
    assert float(size.variance[: int(inside)].mean()) > 5 * abs(float(size.variance[-6:].mean()))
    centre, corner = size.mean_image[BOX // 2, BOX // 2], size.mean_image[2, 2]
    assert float(centre) > 5 * abs(float(corner))


def test_a_few_empty_boxes_do_not_hide_it(tmp_path: Path) -> None:
    full = stack_of(tmp_path / "full", MOLECULES["domains"], 0.6, True)
    empty = stack_of(tmp_path / "empty", MOLECULES["domains"], 0.6, False, snr=1e-9)
    sixth = COUNT // 6
    mixed = replace(
        full,
        files=(*full.files, *empty.files),
        file_index=np.where(np.arange(COUNT) < sixth, 1, 0),
    )
    found = particle_size(mixed, 0, 2.0)
    assert LOWEST <= found_over_true(found, MOLECULES["domains"]) <= HIGHEST
