"""A mixture on disk: a folder for each structure, and who is in which."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import ResourceError, UsageError
from cryospin.io.mrc import StackWriter, read_map
from cryospin.io.outputs import claimed
from cryospin.io.record import RECORD
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.io.star import read_star
from cryospin.mixture import outputs
from cryospin.mixture.distinct import Likeness
from cryospin.mixture.outputs import (
    clear_classes,
    describe,
    difference_name,
    differences,
    mixture_outputs,
    own_poses,
    verdict_of,
    write_mixture,
)
from cryospin.mixture.result import ClassResult, MixtureResult
from cryospin.optics import CtfParameters, Optics
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.outputs import clear_finished
from cryospin.reconstruct.result import AMBIGUOUS, CONVERGED, FAILED, Result, Verdict
from cryospin.run.job import particles_of_class
from cryospin.types import DensityMap, ParticleStack, Poses
from cryospin.volumes.resolution import HalfMapResolution
from phantoms import Blobs, random_turns

BOX, PIXEL, COUNT = 16, 4.0, 12
SECONDS, SETTINGS = {"read": 1.0}, {"seed": 3}
ROWS = (np.array([0, 2, 4, 6, 8]), np.array([1, 3, 5]), np.array([7, 9]))  # 10 and 11 are junk
WHOLE = Blobs.random(1, spread=2.0, sigma=1.2)
PART = Blobs(WHOLE.positions[1:], WHOLE.weights[1:], WHOLE.sigmas[1:])
OTHER = Blobs.random(8, spread=2.0, sigma=1.2)
MAPS = {"map.mrc", "half1.mrc", "half2.mrc", "mask.mrc"}
OF_A_CLASS = {*MAPS, "particles.star", "fsc.star", "result.json", "samples.npz", RECORD}


@pytest.fixture
def stack(tmp_path: Path) -> ParticleStack:
    with StackWriter(tmp_path / "in.mrcs", BOX, PIXEL, COUNT) as written:
        written.append(np.random.default_rng(0).normal(size=(COUNT, BOX, BOX)))
    names = [f"{number + 1}@in.mrcs" for number in range(COUNT)]
    ctf = CtfParameters(*torch.tensor([[1e4, 1e4, 0, 0, 300, 2.7, 0.1]] * COUNT).T)
    optics = (Optics("one", PIXEL, 300.0, 2.7, 0.1),)
    write_new_particles(tmp_path / "in.star", names, optics, BOX, np.zeros(COUNT, int), ctf)
    return read_particles(tmp_path / "in.star")


def result(blobs: Blobs, rows: np.ndarray, word: str) -> Result:
    density = DensityMap(blobs.density(BOX).float(), PIXEL)
    curve = torch.linspace(1, 0, BOX // 2 - 1, dtype=torch.float64)
    resolution = HalfMapResolution(curve, curve, 0.1 * curve, curve, 4, 12.0, 14.0, BOX, PIXEL)
    count = len(rows)
    poses = Poses(
        random_turns(COUNT, 1).float()[rows],
        torch.arange(2.0 * COUNT).view(COUNT, 2)[rows],
        torch.linspace(0.1, 1, count),
    )
    return Result(
        *[density] * 4,
        poses,
        rows % 2 + 1,
        resolution,
        Verdict(word, (f"why {word}",)),
        ExplorationReport(word == CONVERGED),
    )


def found(*words: str, asked: int = 3) -> MixtureResult:
    """Classes of these verdicts: two states of one structure, then another structure."""
    count = len(words)
    weights = torch.full((COUNT, count), 0.02)
    for number, rows in enumerate(ROWS[:count]):
        weights[rows, number] = 0.9
    classes = tuple(
        ClassResult(rows, 9.5, result(blobs, rows, word))
        for blobs, rows, word in zip((WHOLE, PART, OTHER), ROWS, words, strict=False)
    )
    likeness = Likeness(0, 1, 0.8, 0.6)
    confusion = torch.eye(count, dtype=torch.long)
    half_set = np.arange(COUNT) % 2 + 1
    alike = (Likeness(0, 1, 0.01, 0.02),) * (asked - count)
    return MixtureResult(asked, classes, weights, (likeness,), alike, confusion, half_set)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def written(out: Path, stack: ParticleStack, mixture: MixtureResult) -> list[Path]:
    with claimed(out, mixture_outputs(mixture.asked), stack.inputs):
        clear_finished(out)
        clear_classes(out)
        return write_mixture(mixture, stack, out, SECONDS, SETTINGS)


def test_every_structure_has_a_folder_as_of_a_run(tmp_path: Path, stack: ParticleStack) -> None:
    out = tmp_path / "out"
    mixture = found(CONVERGED, CONVERGED, FAILED)
    folders = written(out, stack, mixture)
    assert folders == [out / "class_01", out / "class_02", out / "class_03"]
    top = {"class_01", "class_02", "class_03", difference_name(2)}
    assert names_in(out) == top | {"classes.json", "result.json", "particles.star", RECORD}
    assert names_in(out / "class_01") == names_in(out / "class_02") == OF_A_CLASS
    assert names_in(out / "class_03") == {"not_converged", "result.json", "samples.npz", RECORD}
    for number, rows in enumerate(ROWS, 1):
        told = json.loads((out / f"class_{number:02d}/result.json").read_text())
        assert told["settings"] == SETTINGS | {"class": number} and told["particles"] == len(rows)
        table = read_particles(particles_of_class(out, number))
        assert table.uids == tuple(stack.uids[row] for row in rows)
    own = read_map(out / "class_02/map.mrc").values
    assert torch.equal(own, mixture.classes[1].result.map.values)


def test_a_class_whose_contrast_was_turned_says_so(tmp_path: Path, stack: ParticleStack) -> None:
    """For those who read its images again: `settings.screening` is of the class."""
    mixture = found(CONVERGED, CONVERGED, CONVERGED)
    first, *others = mixture.classes
    turned = replace(first, result=replace(first.result, contrast_inverted=True))
    settings = {"screening": {"contrast_inverted": False, "rejected": 2}}
    with claimed(tmp_path / "out", mixture_outputs(3), stack.inputs):
        mixture = replace(mixture, classes=(turned, *others))
        write_mixture(mixture, stack, tmp_path / "out", SECONDS, settings)
    told = [
        json.loads((tmp_path / f"out/class_{number:02d}/result.json").read_text())["settings"]
        for number in (1, 2)
    ]
    assert told[0]["screening"] == {"contrast_inverted": True, "rejected": 2}
    assert told[1]["screening"] == settings["screening"]


def test_who_is_in_which(tmp_path: Path, stack: ParticleStack) -> None:
    mixture = found(CONVERGED, CONVERGED, CONVERGED)
    written(tmp_path / "out", stack, mixture)
    columns = read_star(tmp_path / "out/particles.star").blocks["particles"].columns
    expected = np.zeros(COUNT, dtype=int)
    for number, rows in enumerate(ROWS, 1):
        expected[rows] = number
    assert [int(text) for text in columns["rlnClassNumber"]] == expected.tolist()
    posterior = np.array(
        [[float(x) for x in columns[f"cryospinClassPosterior{number}"]] for number in (1, 2, 3)]
    )
    np.testing.assert_allclose(posterior.T, mixture.weights, atol=1e-6)
    assert (posterior.sum(axis=0) <= 1).all()
    table = read_particles(tmp_path / "out/particles.star")
    assert table.classes is not None and table.poses is not None
    assert table.classes.number.tolist() == (expected - 1).tolist()
    np.testing.assert_array_equal(table.half_set, mixture.half_set)
    torch.testing.assert_close(table.poses.confidence[-2:].double(), torch.zeros(2).double())


def test_poses_are_those_in_the_own_class() -> None:
    poses = own_poses(found(CONVERGED, CONVERGED, CONVERGED))
    rows = np.concatenate(ROWS)
    torch.testing.assert_close(poses.rotations[rows], random_turns(COUNT, 1).float()[rows])
    torch.testing.assert_close(
        poses.shifts_angstrom[rows], torch.arange(2.0 * COUNT).view(COUNT, 2)[rows]
    )
    # junk has none
    assert torch.equal(poses.rotations[10:], torch.eye(3).repeat(2, 1, 1))
    assert not poses.confidence[10:].any() and not poses.shifts_angstrom[10:].any()


def test_differences_are_of_classes_in_one_frame() -> None:
    mixture = found(CONVERGED, CONVERGED, CONVERGED)
    [(number, difference)] = differences(mixture)
    first, second, third = (each.result.map.values for each in mixture.classes)
    assert number == 2 and torch.equal(difference.values, second - first)
    assert outputs.in_common(second, first) > 0.6 > outputs.in_common(third, first)
    assert outputs.in_common(first, first) == pytest.approx(1.0)


def test_what_is_told(tmp_path: Path, stack: ParticleStack) -> None:
    mixture = found(CONVERGED, FAILED)
    written(tmp_path / "out", stack, mixture)
    described = json.loads((tmp_path / "out/classes.json").read_text())
    whole = json.loads((tmp_path / "out/result.json").read_text())
    assert described == describe(mixture)
    assert {name: whole[name] for name in described} == described
    assert whole["particles"] == COUNT and whole["settings"] == SETTINGS
    assert described["classes_asked"] == 3 and described["verdict"] == "ambiguous"
    assert described["junk"] == {"particles": 4, "fraction": 0.3333}
    first, second = described["classes"]
    assert (first["folder"], first["particles"], first["fraction"]) == ("class_01", 5, 0.4167)
    assert first["resolution_angstrom"] == {"fsc_0.143": 12.0, "fsc_0.5": 14.0}
    assert second["resolution_angstrom"] == {"fsc_0.143": None, "fsc_0.5": None}
    # classes are counted from 1, as the folders are
    assert described["compared"] == [{"classes": [1, 2], "kappa": 0.8, "difference": 0.6}]
    assert described["joined"] == [{"kappa": 0.01, "difference": 0.02, "turned": False}]
    assert "of 3 classes the images support 2" in described["reasons"][0]


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ((CONVERGED, CONVERGED), CONVERGED),
        ((CONVERGED, FAILED), AMBIGUOUS),
        ((CONVERGED, AMBIGUOUS), AMBIGUOUS),
        ((FAILED, AMBIGUOUS), FAILED),
        ((FAILED,), FAILED),
    ],
)
def test_one_verdict_for_all(words: tuple[str, ...], verdict: str) -> None:
    word, reasons = verdict_of(found(*words, asked=len(words)))
    assert word == verdict and len(reasons) == len(words)
    assert reasons[-1] == f"class {len(words)} ({42 if len(words) == 1 else 25} %) " + (
        f"{words[-1]}: why {words[-1]}"
    )


def test_an_earlier_run_with_more_classes_is_cleared(tmp_path: Path, stack: ParticleStack) -> None:
    out = tmp_path / "out"
    written(out, stack, found(CONVERGED, CONVERGED, FAILED))
    (out / "class_02/notes.txt").write_text("mine")
    written(out, stack, found(CONVERGED, asked=1))
    assert names_in(out) == {
        *("class_01", "class_02", "classes.json", "result.json", "particles.star", RECORD)
    }
    # what is not ours stays, and nothing else of the class that is gone
    assert names_in(out / "class_02") == {"notes.txt", RECORD}
    assert names_in(out / "class_01") == OF_A_CLASS


def test_a_file_of_the_users_is_neither_removed_nor_replaced(
    tmp_path: Path, stack: ParticleStack
) -> None:
    out = tmp_path / "out"
    written(out, stack, found(CONVERGED, CONVERGED))
    for name in ("class_01/map.mrc", "class_02/map.mrc"):
        (out / name).write_text("mine")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="class_01/map.mrc is in the way"):
        written(out, stack, found(CONVERGED, CONVERGED))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    # not in the way of a run with fewer classes
    (out / "class_01/map.mrc").unlink()
    written(out, stack, found(CONVERGED, asked=1))
    assert (out / "class_02/map.mrc").read_text() == "mine"


@pytest.mark.parametrize("fails_in", ["class_02", "particles.star", "classes.json"])
def test_a_run_cut_off_while_writing_cannot_pass_for_one(
    tmp_path: Path, stack: ParticleStack, monkeypatch: pytest.MonkeyPatch, fails_in: str
) -> None:
    out = tmp_path / "out"
    written(out, stack, found(CONVERGED, CONVERGED))

    def fails(name: str):
        real = getattr(outputs, name)

        def write(*given, **more):
            if any(fails_in in str(each) for each in given[:4]) or fails_in == name:
                raise ResourceError("the disk is full")
            return real(*given, **more)

        return write

    where = {"class_02": "write_samples", "particles.star": "write_beside"}
    name = where.get(fails_in, "atomic_path")
    if fails_in == "particles.star":
        fails_in = name
    monkeypatch.setattr(outputs, name, fails(name))
    with pytest.raises(ResourceError):
        written(out, stack, found(CONVERGED, CONVERGED))
    assert not names_in(out) & {"result.json", "classes.json"}
    assert not [path for path in out.rglob("*") if path.name.endswith((".tmp", ".part"))]
