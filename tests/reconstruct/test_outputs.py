"""A run on disk: complete or visibly not, and never mistaken for another verdict."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from cryospin.errors import ResourceError, UsageError
from cryospin.io.atomic import atomic_path
from cryospin.io.formats import CRYOSPARC, read_particles_of_any_kind
from cryospin.io.mrc import read_map
from cryospin.io.outputs import claimed
from cryospin.io.record import RECORD
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.io.run_folder import EVALUATION, NOT_CONVERGED
from cryospin.io.star import read_star
from cryospin.io.table_writer import write_table
from cryospin.journal.checkpoints import Checkpoints
from cryospin.optics import CtfParameters, Optics
from cryospin.particles.plan import output_bytes
from cryospin.reconstruct.exploration_report import ExplorationReport, StartReport
from cryospin.reconstruct.outputs import (
    RUN,
    clear_finished,
    summary,
    write_result,
)
from cryospin.reconstruct.point_group import SymmetryFound
from cryospin.reconstruct.result import CONVERGED, FAILED, Evidence, Result, Verdict
from cryospin.report import write_report
from cryospin.types import DensityMap, NotModelled, ParticleStack, Poses
from cryospin.volumes.alignment import MapAlignment
from cryospin.volumes.point_group import PointGroup, TriedGroup
from cryospin.volumes.resolution import HalfMapResolution
from phantoms import random_turns

BOX, PIXEL, COUNT = 16, 2.5, 7
MAPS = ("map.mrc", "half1.mrc", "half2.mrc", "mask.mrc")
TABLES = ("particles.star", "fsc.star")


@pytest.fixture
def stack(tmp_path: Path) -> ParticleStack:
    names = [f"{i + 1}@none.mrcs" for i in range(COUNT)]
    ctf = CtfParameters(*torch.tensor([[1e4, 1e4, 0, 0, 300, 2.7, 0.1]] * COUNT).T)
    optics = (Optics("one", PIXEL, 300.0, 2.7, 0.1),)
    write_new_particles(tmp_path / "in.star", names, optics, BOX, np.zeros(COUNT, int), ctf)
    return read_particles(tmp_path / "in.star")


def result(converged: bool = True, angstrom: float | None = 6.0) -> Result:
    generator = torch.manual_seed(1)

    def density() -> DensityMap:
        return DensityMap(torch.randn(BOX, BOX, BOX, generator=generator), PIXEL)

    curve = torch.linspace(1, 0, BOX // 2 - 1, dtype=torch.float64)
    resolution = HalfMapResolution(
        curve, curve * 0.9, curve * 0.1, curve * 0.8, 4, angstrom, 9.0, BOX, PIXEL
    )
    poses = Poses(
        random_turns(COUNT, 1).float(), torch.randn(COUNT, 2), torch.linspace(0.1, 1, COUNT)
    )
    unmoved = MapAlignment(torch.eye(3), torch.zeros(3), False, 1.0)
    return Result(
        density(),
        density(),
        density(),
        density(),
        poses,
        np.arange(COUNT) % 2 + 1,
        resolution,
        Verdict(CONVERGED if converged else FAILED, ("a reason",), ("a warning",), (EVIDENCE,)),
        ExplorationReport(converged, 12.5, half1=(StartReport(1, 1, 12.5),)),
        [{"radius": 12.0, "limit": 11.0, "median_turn_degrees": 0.5}],
        symmetry="D2",
        found=SymmetryFound(
            PointGroup("D2", unmoved, (TriedGroup("D2", 0.97, 0.2),), 12.0), (-2.0, 0.5)
        ),
    )


EVIDENCE = Evidence("agreement", 12.5, "shells", 8.0, True, FAILED, "they do not agree")
SECONDS = {"read": 1.234567, "explore": 2.0}
SETTINGS = {"symmetry": "auto", "seed": 3}


def test_every_file_of_a_converged_run(tmp_path: Path, stack: ParticleStack) -> None:
    out, found = tmp_path / "out", result()
    write_result(found, stack, out, SECONDS, SETTINGS)
    assert {path.name for path in out.iterdir()} == {*MAPS, *TABLES, "result.json"}
    for name in MAPS:
        read = read_map(out / name)
        assert torch.equal(read.values, getattr(found, name.removesuffix(".mrc")).values)
        assert read.pixel_size_angstrom == pytest.approx(PIXEL)
    table = read_particles(out / "particles.star")
    torch.testing.assert_close(
        table.poses.rotations.float(), found.poses.rotations, rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        table.poses.shifts_angstrom.float(), found.poses.shifts_angstrom, rtol=0, atol=1e-5
    )
    np.testing.assert_array_equal(table.half_set, found.half_set)


def test_a_failed_run_keeps_its_maps_apart(tmp_path: Path, stack: ParticleStack) -> None:
    out = tmp_path / "out"
    write_result(result(converged=False), stack, out, SECONDS, SETTINGS)
    assert {path.name for path in out.iterdir()} == {NOT_CONVERGED, "result.json"}
    assert {path.name for path in (out / NOT_CONVERGED).iterdir()} == {*MAPS, *TABLES}
    told = json.loads((out / "result.json").read_text())
    assert told["verdict"] == "failed"
    assert told["resolution_angstrom"] == {"fsc_0.143": None, "fsc_0.5": None}


def test_result_json_says_what_was_left_out(tmp_path: Path, stack: ParticleStack) -> None:
    left = NotModelled(("rlnCtfBfactor",), "B-factors", "amplitudes fall")
    write_result(result(), replace(stack, not_modelled=(left,)), tmp_path, SECONDS, SETTINGS)
    told = json.loads((tmp_path / "result.json").read_text())
    assert told["not_modelled"] == [
        {"columns": ["rlnCtfBfactor"], "what": "B-factors", "cost": "amplitudes fall"}
    ]


def test_result_json_says_what_was_done(tmp_path: Path, stack: ParticleStack) -> None:
    write_result(result(), stack, tmp_path / "out", SECONDS, SETTINGS)
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told["program"] == "cryospin" and told["verdict"] == "converged"
    assert told["not_modelled"] == []
    assert told["reasons"] == ["a reason"] and told["warnings"] == ["a warning"]
    assert told["resolution_angstrom"] == {"fsc_0.143": 6.0, "fsc_0.5": 9.0}
    assert told["evidence"] == [
        {
            "name": "agreement",
            "value": 12.5,
            "unit": "shells",
            "limit": 8.0,
            "passed": True,
            "counts": "failed",
            "words": "they do not agree",
        }
    ]
    assert (told["particles"], told["box"], told["symmetry"]) == (COUNT, BOX, "D2")
    assert told["symmetry_found"]["name"] == "D2" and told["symmetry_found"]["loss_error"] == 0.5
    assert told["pixel_size_angstrom"] == pytest.approx(PIXEL)
    assert told["seconds"] == {"read": 1.23, "explore": 2.0}
    assert told["seconds_total"] == pytest.approx(3.23, abs=0.01)
    assert told["explore"]["half1"][0]["score"] == 12.5 and told["refine"][0]["radius"] == 12.0
    assert told["settings"] == SETTINGS and set(told["versions"]) >= {"python", "torch", "numba"}
    # a Python with torch in it takes more than 50 MB and less than a TB
    assert 5e7 < told["peak_memory_bytes"] < 1e12


def test_result_json_is_json(stack: ParticleStack) -> None:
    """No NaN and no Infinity, which Python writes and other programs refuse."""
    json.dumps(summary(result(), stack, SECONDS, SETTINGS), allow_nan=False)
    json.dumps(summary(result(angstrom=None), stack, SECONDS, SETTINGS), allow_nan=False)


@pytest.mark.parametrize("angstrom", [6.0, None])
def test_curves_are_relions_columns(
    tmp_path: Path, stack: ParticleStack, angstrom: float | None
) -> None:
    write_result(result(angstrom=angstrom), stack, tmp_path, SECONDS, SETTINGS)
    blocks = read_star(tmp_path / "fsc.star").blocks
    columns = blocks["fsc"].columns
    assert columns["rlnSpectralIndex"] == [str(shell) for shell in range(1, BOX // 2)]
    assert float(columns["rlnAngstromResolution"][3]) == pytest.approx(BOX * PIXEL / 4)
    assert float(columns["rlnResolution"][3]) == pytest.approx(4 / (BOX * PIXEL), abs=1e-6)
    assert float(columns["rlnFourierShellCorrelationUnmaskedMaps"][0]) == 1.0
    assert float(columns["rlnFourierShellCorrelationMaskedMaps"][0]) == 0.9
    assert float(columns["rlnFourierShellCorrelationCorrected"][0]) == 0.8
    final = float(blocks["general"].pairs["rlnFinalResolution"])
    assert final == pytest.approx(angstrom, nan_ok=True) if angstrom else np.isnan(final)


def test_clearing_takes_an_earlier_run_away(tmp_path: Path, stack: ParticleStack) -> None:
    for converged in (True, False):
        write_result(result(converged), stack, tmp_path / "out", SECONDS, SETTINGS)
    (tmp_path / "out" / "report.html").write_text("old")
    (tmp_path / "out" / "mine.txt").write_text("not ours to delete")
    clear_finished(tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == {"mine.txt"}
    clear_finished(tmp_path / "nothing there yet")


@pytest.mark.parametrize("by", ["the demo", "a user"])
def test_errors_of_an_earlier_run_go_with_it(tmp_path: Path, by: str) -> None:
    """A file that a user has put there stays, and is none of the next run's (its date)."""
    with claimed(tmp_path, RUN):
        if by == "the demo":
            with atomic_path(tmp_path / EVALUATION) as temporary:
                temporary.write_text("{}")
        else:
            (tmp_path / EVALUATION).write_text("{}")
    with claimed(tmp_path, RUN):
        clear_finished(tmp_path)
    assert (tmp_path / EVALUATION).exists() == (by == "a user")


LOG_LINE = {"time": "2026-01-02", "seconds": 0.1, "stage": "start", "event": "begin"}


@pytest.fixture(scope="module")
def older_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of runs from before there was a record of what was written."""
    folder = tmp_path_factory.mktemp("older")
    for name, converged in (("converged", True), ("failed", False)):
        make_older_run(folder / name, converged)
    return folder


def make_older_run(out: Path, converged: bool) -> None:
    names = [f"{i + 1}@none.mrcs" for i in range(COUNT)]
    ctf = CtfParameters(*torch.tensor([[1e4, 1e4, 0, 0, 300, 2.7, 0.1]] * COUNT).T)
    optics = (Optics("one", PIXEL, 300.0, 2.7, 0.1),)
    out.mkdir()
    table = out.parent / "in.star"
    write_new_particles(table, names, optics, BOX, np.zeros(COUNT, int), ctf)
    write_table(table.with_suffix(".cs"), read_particles(table), CRYOSPARC)
    stack = read_particles_of_any_kind(table.with_suffix(".cs"))
    write_result(result(converged), stack, out, SECONDS, SETTINGS)
    write_report(out)
    (out / "log.jsonl").write_text(json.dumps(LOG_LINE) + "\n")
    Checkpoints.begun(out / "checkpoints", {"seed": 1})
    (out / RECORD).unlink()


@pytest.mark.parametrize(("kind", "first"), [("converged", "report"), ("failed", "rerun")])
def test_a_run_from_before_there_was_a_record_is_ours(
    older_runs: Path, tmp_path: Path, first: str, kind: str
) -> None:
    out = Path(shutil.copytree(older_runs / kind, tmp_path / "out"))
    (out / "notes.txt").write_text("mine")
    if first == "report":
        write_report(out)
    with claimed(out, RUN):
        clear_finished(out)
    assert {path.name for path in out.rglob("*") if path.is_file()} == {
        "notes.txt", RECORD, "manifest.json"
    }  # fmt: skip


FOREIGN = [
    *MAPS,
    *TABLES,
    "particles.cs",
    "report.html",
    "samples.npz",
    "rejected.npz",
    "particle.npz",
    "rejected.star",
    "not_converged/map.mrc",
    "not_converged/particles.star",
    "log.jsonl",
    "checkpoints",
]


def link(path: Path) -> None:
    path.symlink_to("../linked")


def text(path: Path) -> None:
    path.write_text('{"key": "another program"}\n')


def another_map(path: Path) -> None:
    mrcfile.write(path, np.zeros((4, 4, 4), np.float32))


@pytest.mark.parametrize("put", [link, text, another_map])
@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_another_programs_in_an_older_run_stays(
    older_runs: Path, tmp_path: Path, name: str, put: Callable[[Path], None]
) -> None:
    out = Path(shutil.copytree(older_runs / "converged", tmp_path / "out"))
    path = out / name
    path.parent.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    put(path)
    before = os.readlink(path) if path.is_symlink() else path.read_bytes()
    with pytest.raises(UsageError, match="in the way"), claimed(out, RUN):
        pass
    assert before == (os.readlink(path) if path.is_symlink() else path.read_bytes())
    assert not (out / RECORD).exists()


@pytest.mark.parametrize("told", ['{"verdict": "converged"}', '{"program": "other"}', "[1]", "{"])
def test_a_folder_that_does_not_say_it_is_a_runs_is_not(
    older_runs: Path, tmp_path: Path, told: str
) -> None:
    out = Path(shutil.copytree(older_runs / "converged", tmp_path / "out"))
    (out / "log.jsonl").unlink()
    (out / "result.json").write_text(told)
    with pytest.raises(UsageError, match="in the way"), claimed(out, RUN):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_run_that_cannot_be_written_is_not_finished(tmp_path: Path, stack: ParticleStack) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o500)
    with pytest.raises(ResourceError):
        write_result(result(), stack, out, SECONDS, SETTINGS)
    assert not (out / "result.json").exists()


def test_result_json_comes_last(
    tmp_path: Path, stack: ParticleStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ResourceError("no space left on device")

    monkeypatch.setattr("cryospin.reconstruct.outputs.write_fsc", full)
    with pytest.raises(ResourceError):
        write_result(result(), stack, tmp_path / "out", SECONDS, SETTINGS)
    assert not (tmp_path / "out" / "result.json").exists()


def test_the_space_asked_for_suffices(tmp_path: Path, stack: ParticleStack) -> None:
    write_result(result(), stack, tmp_path / "out", SECONDS, SETTINGS)
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert written < output_bytes(len(stack), stack.box)
    # and grows as the maps do
    assert output_bytes(COUNT, 512) - output_bytes(COUNT, BOX) > 4 * 4 * 512**3 * 0.99
