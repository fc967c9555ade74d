"""No command changes an input or a file it did not make, and none enters a folder that is in use.

In every case of a refusal nothing is written, removed or moved.
"""

from __future__ import annotations

import os
import pickle
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bad_inputs import fingerprints, stack_of_box, write_inputs
from cryospin.cli.main import main
from cryospin.io.lock import LOCK, sole_use

SIMULATE = "simulate map.mrc --out out --particles 5 --box 16 --pixel-size 6 --snr 1"
RECONSTRUCT = "reconstruct particles.star --out out"
DOWNSAMPLE = "downsample large/particles.star --out out --box 16"
POSTPROCESS = "postprocess half1.mrc half2.mrc --out out"
FLIP = "flip-hand run --out out"
DEMO = "demo --out out --particles 400"
BENCHES = {
    "results.jsonl": "bench paper --models . --out out --structures model",
    "pairs.jsonl": "bench pairs --models . --out out --structures model",
    "switch.jsonl": "bench switch --models . --out out --structures model",
}

Arrange = Callable[[Path], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound inputs")
    write_inputs(folder)
    (folder / "large").mkdir()
    for name in ("particles.star", "particles.mrcs"):
        shutil.copy(folder / name, folder / "large")
    stack_of_box(32)(folder / "large", pytest.MonkeyPatch())
    # a table whose images are elsewhere, as in a RELION job
    (folder / "job").mkdir()
    text = (folder / "truth.star").read_text().replace("@particles", "@../particles")
    (folder / "job" / "particles.star").write_text(text)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = Path(shutil.copytree(sound, tmp_path / "a place"))
    monkeypatch.chdir(place)
    return place


def run(command: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(command))
    return int(stop.value.code or 0)


def refused(folder: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said. Nothing may have changed."""
    before = fingerprints(folder)
    assert run(command) == 2
    said = capsys.readouterr().err
    assert "fix:" in said and "Traceback" not in said
    assert fingerprints(folder) == before
    return said


def nothing(folder: Path) -> None:
    pass


def linked(link: str, to: str) -> Arrange:
    return lambda folder: (folder / link).symlink_to(folder / to)


def hard(link: str, to: str) -> Arrange:
    return lambda folder: os.link(folder / to, folder / link)


def moved(name: str, to: str) -> Arrange:
    """The file lies elsewhere, and a link in its place."""

    def arrange(folder: Path) -> None:
        (folder / to).parent.mkdir(exist_ok=True)
        (folder / name).rename(folder / to)
        (folder / name).symlink_to(folder / to)

    return arrange


def copied(name: str, to: str) -> Arrange:
    def arrange(folder: Path) -> None:
        (folder / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, folder / to)

    return arrange


def hard_in_out(name: str, of: str) -> Arrange:
    def arrange(folder: Path) -> None:
        (folder / "out").mkdir()
        os.link(folder / of, folder / "out" / name)

    return arrange


@pytest.mark.parametrize(
    ("command", "arrange", "held"),
    [
        ("reconstruct particles.star --out .", nothing, "particles.star"),
        ("reconstruct truth.star --out .", nothing, "truth.star"),
        ("reconstruct truth.star --out . --resume", nothing, "truth.star"),
        ("reconstruct particles.cs --out .", nothing, "particles.cs"),
        ("reconstruct particles.star --out particles.star", nothing, "particles.star"),
        ("reconstruct particles.star --out particles.mrcs", nothing, "particles.mrcs"),
        ("reconstruct job/particles.star --out job", nothing, "job/particles.star"),
        # the images alone
        ("reconstruct job/particles.star --out .", nothing, "particles.mrcs"),
        (RECONSTRUCT, moved("particles.star", "out/mine.star"), "particles.star"),
        (RECONSTRUCT, moved("particles.mrcs", "out/stack.mrcs"), "particles.mrcs"),
        (
            "reconstruct run/link.star --out job",
            linked("run/link.star", "job/particles.star"),
            "run/link.star",
        ),
        (
            "reconstruct job/particles.star --out other",
            linked("other", "job"),
            "job/particles.star",
        ),
        (
            "reconstruct job/particles.star --out out",
            linked("out", "."),
            "particles.mrcs",
        ),
        (
            RECONSTRUCT + " --initial-map out/start.mrc",
            copied("map.mrc", "out/start.mrc"),
            "out/start.mrc",
        ),
        (
            RECONSTRUCT + " --initial-map out/not_converged/map.mrc",
            copied("map.mrc", "out/not_converged/map.mrc"),
            "out/not_converged/map.mrc",
        ),
        (RECONSTRUCT, hard_in_out("half1.mrc", "particles.mrcs"), "particles.mrcs"),
        (RECONSTRUCT, hard_in_out("log.jsonl", "particles.star"), "particles.star"),
        (DOWNSAMPLE.replace("out out", "out large"), nothing, "large/particles.star"),
        (DOWNSAMPLE, moved("large/particles.mrcs", "out/x.mrcs"), "large/particles.mrcs"),
        (SIMULATE.replace("out out", "out ."), nothing, "map.mrc"),
        (SIMULATE + " --ctf-from out/truth.star", copied("truth.star", "out/truth.star"), "truth"),
        (SIMULATE.replace("map.mrc", "out/truth.mrc"), copied("map.mrc", "out/truth.mrc"), "truth"),
        (POSTPROCESS.replace("out out", "out ."), nothing, "half1.mrc"),
        (POSTPROCESS + " --mask out/mask.mrc", copied("mask.mrc", "out/mask.mrc"), "out/mask.mrc"),
        ("flip-hand run --out run", nothing, "run/"),
        ("flip-hand run --out again", linked("again", "run"), "run/"),
    ],
)
def test_no_output_folder_is_or_holds_an_input(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    arrange: Arrange,
    held: str,
) -> None:
    arrange(folder)
    said = refused(folder, command, capsys)
    assert "is an input or holds one" in said and held in said


RUN_FILES = [
    "particles.star",
    "particles.cs",
    "map.mrc",
    "half2.mrc",
    "mask.mrc",
    "result.json",
    "log.jsonl",
    "report.html",
    "fsc.star",
    "rejected.star",
    "samples.npz",
    "not_converged",
    "not_converged/map.mrc",
    "not_converged/particles.star",
    "checkpoints",
    "checkpoints/manifest.json",
    "checkpoints/epoch.000010.safetensors",
]
IN_THE_WAY = [
    *((RECONSTRUCT, name) for name in RUN_FILES),
    *((RECONSTRUCT + " --resume", name) for name in ("log.jsonl", "checkpoints/manifest.json")),
    *((DEMO, f"run/{name}") for name in ("map.mrc", "particles.star", "evaluation.json")),
    *((DEMO, f"data/{name}") for name in ("truth.star", "particles.mrcs")),
    *((SIMULATE, name) for name in ("particles.star", "truth.star", "particles.mrcs", "truth.mrc")),
    *((DOWNSAMPLE, name) for name in ("particles.star", "particles.cs", "particles_16.mrcs")),
    *((POSTPROCESS, name) for name in ("postprocessed.mrc", "mask.mrc", "fsc.star", "fsc.xml")),
    *((FLIP, name) for name in ("map.mrc", "particles.star", "result.json", "report.html")),
    *((command, name) for name, command in BENCHES.items()),
    *((BENCHES["results.jsonl"], name) for name in ("bench.md", "fig2_fsc.svg", "data/x")),
    ("bench verdicts --models . --out out", "results.jsonl"),
    ("convert truth.star out/p.txt", "p.ctf.pkl"),
    ("convert truth.star out/p.txt", "p.poses.pkl"),
    ("convert truth.star out/p.txt", "p.ind.pkl"),
    ("convert particles.star out/p.txt", "p.poses.pkl"),
]


@pytest.mark.parametrize(("command", "name"), IN_THE_WAY)
def test_what_cryospin_did_not_make_stays(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    """Another program's file, or a user's, of a name that the command writes or removes."""
    path = folder / "out" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"key": "another program"}\n')
    (folder / "out" / "notes.txt").write_text("mine")
    said = refused(folder, command, capsys)
    assert "in the way" in said and f"out/{name.split('/')[0]}" in said


@pytest.mark.parametrize("command", [RECONSTRUCT, SIMULATE, DOWNSAMPLE])
def test_a_dangling_link_stays(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "particles.star").symlink_to("nowhere")
    assert "in the way" in refused(folder, command, capsys)


def test_a_page_that_is_not_ours_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run" / "report.html").write_text("mine")
    assert "run/report.html is in the way" in refused(folder, "report run", capsys)


@pytest.mark.parametrize(
    ("command", "source"),
    [
        ("lowpass map.mrc 20 --out {}", "map.mrc"),
        ("crop map.mrc --box 8 --out {}", "map.mrc"),
        ("mask map.mrc --out {}", "map.mrc"),
        ("convert truth.star {}", "truth.star"),
        ("convert truth.star {}", "particles.mrcs"),
        ("convert particles.cs {}", "particles.cs"),
        ("convert particles.cs {} --like truth.star", "truth.star"),
        ("convert particles.txt {}", "particles.poses.pkl"),
        ("bench epochs particles.star --recipe amortized --out {}", "particles.star"),
        ("bench epochs particles.star --recipe amortized --out {}", "particles.mrcs"),
        ("pairs train --models . --out {}", "model.pdb"),
    ],
)
@pytest.mark.parametrize("link", [None, linked, hard], ids=["itself", "symbolic", "hard"])
def test_no_output_file_is_an_input(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    source: str,
    link: Callable[[str, str], Arrange] | None,
) -> None:
    out = f"../{folder.name}/{source}"
    if link is not None:
        out = "x.star"
        link(out, source)(folder)
    elif command.startswith("convert") and not source.endswith((".star", ".cs")):
        return  # no name of a table
    assert "is the input" in refused(folder, command.format(shlex.quote(out)), capsys)


def test_arrays_that_were_read_are_not_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """cryoDRGN's arrays have no option of their own: they follow the name of the list."""
    command = "convert particles.txt x.txt --poses x.poses.pkl --ctf x.ctf.pkl"
    for kind in ("poses", "ctf"):
        shutil.copy(folder / f"particles.{kind}.pkl", folder / f"x.{kind}.pkl")
    assert "x.ctf.pkl is the input" in refused(folder, command, capsys)


def test_a_selection_made_in_cryodrgn_stays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.glob("particles.*.pkl"):
        path.unlink()
    (folder / "particles.ind.pkl").write_bytes(pickle.dumps(np.arange(50)))
    said = refused(folder, "convert particles.star particles.txt", capsys)
    assert "particles.ind.pkl is in the way" in said


AGAIN = [
    (SIMULATE, "out/truth.mrc"),
    (DOWNSAMPLE, "out/particles_16.mrcs"),
    (POSTPROCESS, "out/mask.mrc"),
    (FLIP, "out/half1.mrc"),
    ("convert truth.star out/p.txt", "out/p.poses.pkl"),
    ("report run", "run/report.html"),
]


@pytest.mark.parametrize(("command", "made"), AGAIN)
def test_a_folder_of_our_own_is_used_again(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, made: str
) -> None:
    """What we made is replaced; not what was put or changed there since."""
    place = folder / Path(made).parent
    place.mkdir(exist_ok=True)
    (place / "notes.txt").write_text("mine")
    assert run(command) == 0
    inputs = fingerprints(folder)
    assert run(command) == 0
    now = fingerprints(folder)
    assert set(now) == set(inputs) and (place / "notes.txt").read_text() == "mine"
    assert not list(place.glob(f"{LOCK}*")) and not list(place.glob(".*.tmp"))
    with open(folder / made, "ab") as file:
        file.write(b"changed")
    capsys.readouterr()
    assert made in refused(folder, command, capsys)


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (RECONSTRUCT, "out"),
        (RECONSTRUCT + " --resume", "out"),
        ("reconstruct particles.star --out run --resume", "run"),
        (SIMULATE, "out"),
        (DOWNSAMPLE, "out"),
        (POSTPROCESS, "out"),
        (FLIP, "out"),
        (DEMO, "out"),
        (BENCHES["results.jsonl"], "out"),
        (BENCHES["pairs.jsonl"], "out"),
        (BENCHES["switch.jsonl"], "out"),
        ("bench verdicts --models . --out out", "out"),
        ("convert particles.star out/particles.star", "out"),
        ("convert particles.star out/particles.txt", "out"),
        ("lowpass truth.mrc 20 --out out/map.mrc", "out"),
    ],
)
def test_a_folder_in_use_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, place: str
) -> None:
    where = folder / place
    where.mkdir(exist_ok=True)
    with sole_use(where, where / LOCK):
        said = refused(folder, command, capsys)
    assert f"{place} is in use" in said and f"process {os.getpid()} on " in said


def test_a_training_in_use_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = folder / "w.safetensors"
    with sole_use(weights, weights.with_name(".w.safetensors.lock")):
        command = "pairs train --made-up 1 --steps 1 --out w.safetensors"
        assert "w.safetensors is in use" in refused(folder, command, capsys)


def test_a_living_run_can_be_reported(folder: Path) -> None:
    run_folder = folder / "run"
    with sole_use(run_folder, run_folder / LOCK):
        assert run("report run") == 0
        assert run("evaluate run --truth truth.star") == 0
    assert (run_folder / "report.html").exists()
