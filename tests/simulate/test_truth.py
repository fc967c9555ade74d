"""A mixture on disk: the truth table has the classes, each structure its map, the rest nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError
from cryospin.io.mrc import read_images, read_map, write_map
from cryospin.io.relion import read_particles
from cryospin.io.star import read_star
from cryospin.io.truth import CONFORMATION, HINGE_ANGLE, JUNK, conformations_of
from cryospin.simulate.dataset import BLOCK, Microscope, simulate
from cryospin.simulate.junk import KINDS, junk_kind
from cryospin.simulate.mixture import Mixture, draw_mixture
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf, neutral_ctf
from cryospin.types import DensityMap

BOX, PIXEL, COUNT = 32, 6.0, 2 * BLOCK + 7
MOLECULES = tuple(chain_molecule(seed, domains=2, residues_per_domain=50) for seed in range(3))
POSES = draw_poses(COUNT, max_shift_pixel=2.0, pixel_size_angstrom=PIXEL, seed=1)
CLEAN = Microscope(BOX, PIXEL, float("inf"), draw_ctf(COUNT, seed=1), seed=1)


def images_of(folder: Path) -> np.ndarray:
    stack = read_particles(folder / "particles.star")
    return read_images(stack, np.arange(len(stack))).numpy()


def names_in(folder: Path, pattern: str = "truth*") -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def test_each_image_shows_the_structure_that_truth_says(tmp_path: Path) -> None:
    mixture = draw_mixture(MOLECULES, COUNT, PIXEL, seed=1, junk=0.2)
    simulate(mixture, POSES, CLEAN, tmp_path / "all")
    classes = read_particles(tmp_path / "all" / "truth.star").classes
    assert classes is not None and np.array_equal(classes.number.numpy(), mixture.shown)
    images = images_of(tmp_path / "all")
    for number, molecule in enumerate(MOLECULES):
        simulate(molecule, POSES, CLEAN, tmp_path / f"{number}")
        alone, members = images_of(tmp_path / f"{number}"), mixture.shown == number
        assert members.any() and np.array_equal(images[members], alone[members])
        truth = read_map(tmp_path / "all" / f"truth_class_{number + 1:02d}.mrc").values
        assert torch.equal(truth, read_map(tmp_path / f"{number}" / "truth.mrc").values)
    kinds = read_star(tmp_path / "all" / "truth.star").blocks["particles"].columns[JUNK]
    expected = ["none" if s >= 0 else junk_kind(1, i) for i, s in enumerate(mixture.shown)]
    assert kinds == expected and {*kinds} <= {*KINDS, "none"}


def test_what_is_to_be_solved_tells_nothing(tmp_path: Path) -> None:
    mixture = draw_mixture(MOLECULES, COUNT, PIXEL, seed=1, junk=0.2, angles_degrees=(0, 9, 18))
    simulate(mixture, POSES, CLEAN, tmp_path)
    stack = read_particles(tmp_path / "particles.star")
    assert stack.poses is None and stack.classes is None
    columns = read_star(tmp_path / "particles.star").blocks["particles"].columns
    assert not [name for name in columns if "cryospin" in name or "Class" in name]


def test_conformations_are_of_one_class(tmp_path: Path) -> None:
    shown = np.arange(COUNT) % 4 - 1
    simulate(Mixture(MOLECULES, shown, (0.0, 12.5, 25.0)), POSES, CLEAN, tmp_path)
    truth = read_particles(tmp_path / "truth.star")
    assert truth.classes is not None
    assert truth.classes.number.tolist() == np.minimum(shown, 0).tolist()
    found = conformations_of(truth.select(np.array([3, 0])))
    assert found is not None and found.tolist() == [3, 0]
    columns = read_star(tmp_path / "truth.star").blocks["particles"].columns
    assert columns[CONFORMATION][:5] == ["0", "1", "2", "3", "0"]
    assert [float(angle) for angle in columns[HINGE_ANGLE][:4]] == [0, 0, 12.5, 25]
    assert names_in(tmp_path) == [
        "truth.star",
        *(f"truth_conformation_00{number}.mrc" for number in (1, 2, 3)),
    ]


def test_threads_change_no_bit_of_a_mixture(tmp_path: Path) -> None:
    mixture = draw_mixture(MOLECULES, COUNT, PIXEL, seed=1, junk=0.3)
    for threads in (1, 3):
        simulate(mixture, POSES, CLEAN, tmp_path / f"{threads}", threads=threads)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "3" / path.name).read_bytes(), path.name


def test_junk_does_not_count_as_signal(tmp_path: Path) -> None:
    """The noise is that of the structures' images, however strong an edge is."""
    shown = np.where(np.arange(COUNT) % 2 == 0, -1, 0)
    noisy = replace(CLEAN, snr=0.1, ctf=neutral_ctf(COUNT))
    sigma = [
        simulate(Mixture(MOLECULES[:1], each), POSES, noisy, tmp_path / name).noise_sigma
        for name, each in (("junk", shown), ("all", np.zeros(COUNT, int)))
    ]
    assert sigma[0] == pytest.approx(sigma[1], rel=0.1)
    assert names_in(tmp_path / "junk") == ["truth.mrc", "truth.star"]


def test_maps_of_an_earlier_data_set_do_not_stay(tmp_path: Path) -> None:
    simulate(draw_mixture(MOLECULES, COUNT, PIXEL, seed=1), POSES, CLEAN, tmp_path)
    write_map(tmp_path / "elsewhere.mrc", DensityMap(torch.zeros(8, 8, 8), 1.0))
    (tmp_path / "truth_of_mine.mrc").write_bytes((tmp_path / "elsewhere.mrc").read_bytes())
    simulate(draw_mixture(MOLECULES[:2], COUNT, PIXEL, seed=1), POSES, CLEAN, tmp_path)
    kept = ["truth.star", "truth_class_01.mrc", "truth_class_02.mrc", "truth_of_mine.mrc"]
    assert names_in(tmp_path) == kept


def test_a_conformation_that_is_none(tmp_path: Path) -> None:
    simulate(Mixture(MOLECULES, np.arange(COUNT) % 3, (0, 1, 2)), POSES, CLEAN, tmp_path)
    text = (tmp_path / "truth.star").read_text()
    lines = text.splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("000002@"))
    lines[row] = lines[row].replace(" 2 1.000000", " two 1.000000")
    (tmp_path / "truth.star").write_text("\n".join(lines) + "\n")
    with pytest.raises(BadDataError, match="'two' is no conformation") as refusal:
        conformations_of(read_particles(tmp_path / "truth.star"))
    assert (refusal.value.row, refusal.value.column) == (2, CONFORMATION)
    assert conformations_of(read_particles(tmp_path / "particles.star")) is None
