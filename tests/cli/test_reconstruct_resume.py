"""`cryospin reconstruct --resume`: exit codes, files, and the bits of an uninterrupted run."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cryospin import recipes, report
from cryospin.cli import main as command_line
from cryospin.explore import amortised
from cryospin.explore.snapshot import NonFiniteLossError
from cryospin.io.atomic import atomic_path
from cryospin.io.lock import LOCK
from cryospin.io.record import RECORD
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.run.reconstruct import reconstruct
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from reconstruct_toys import cut_down, toy

TESTS = Path(__file__).parents[1]
BOX, PIXEL = 24, 6.0
# what tells when, or the hash of what does
UNLIKE = {"log.jsonl", "result.json", "report.html", RECORD}
TIMES = {"date", "seconds", "seconds_total", "peak_memory_bytes"}


def simulated(folder: Path, count: int) -> Path:
    poses = draw_poses(count, max_shift_pixel=0.5, pixel_size_angstrom=PIXEL, seed=1)
    simulate(
        chain_molecule(1), poses, Microscope(BOX, PIXEL, 2.0, draw_ctf(count, 1), seed=1), folder
    )
    return folder / "particles.star"


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("simulated"), 120)


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that takes a second, and a report that takes none; not for whole processes."""
    cut_down(monkeypatch)
    monkeypatch.setattr(recipes, "find_recipe", lambda name: toy("amortized"))

    def write_report(run: Path) -> Path:
        with atomic_path(run / "report.html") as temporary:
            temporary.write_text("a page")
        return run / "report.html"

    monkeypatch.setattr(report, "write_report", write_report)


def run(particles: Path, out: Path, *more: object) -> int:
    words = ["reconstruct", particles, "--out", out, "--checkpoint-seconds", 0, *more]
    with pytest.raises(SystemExit) as stop:
        command_line.main([str(word) for word in words])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def contents(out: Path) -> dict[str, Any]:
    """Every file of a run, without what tells when."""
    found: dict[str, Any] = {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in UNLIKE
    }
    told = json.loads((out / "result.json").read_text())
    return found | {name: told[name] for name in told.keys() - TIMES}


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Something happens after so many batches of the training, once."""

    def arrange(wanted: int, happens: Callable[[], None]) -> None:
        real, count = amortised.report_of, 0

        def counted(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count == wanted:
                happens()
            return real(*arguments)

        monkeypatch.setattr(amortised, "report_of", counted)

    return arrange


def test_terminated_and_resumed(
    particles: Path, tmp_path: Path, at_step: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    code = run(particles, plain)
    assert code in (0, 4) and not (plain / "checkpoints").exists()
    at_step(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert run(particles, out) == 130
    told = capsys.readouterr().err
    assert "interrupted" in told and "with --resume" in told and "error" not in told
    assert not (out / "result.json").exists() and list((out / "checkpoints").iterdir())
    lines = len((out / "log.jsonl").read_text().splitlines())
    # another seed is another run
    assert run(particles, out, "--resume", "--seed", 1) == 2
    assert "--seed: 0, not 1" in capsys.readouterr().err
    assert run(particles, out, "--resume") == code
    assert contents(out) == contents(plain)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["resumed"] for line in log if line.get("event") == "run"] == [False, True]
    assert len(log) > lines and not (out / "checkpoints").exists()
    # finished: it is left as it is, but what a kill after the end left undone is done
    (out / "report.html").unlink()
    assert run(particles, out, "--resume") == code and (out / "report.html").exists()
    assert run(particles, out, "--resume", "--symmetry", "C2") == 2
    # without --resume it starts over
    assert run(particles, out) == code and contents(out) == contents(plain)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), {}),
        (
            ("--symmetry", "C2", "--seed", 3, "--max-shift", 12, "--invert-contrast", "yes"),
            {"symmetry": "C2", "seed": 3, "max_shift_angstrom": 12.0, "invert_contrast": "yes"},
        ),
    ],
)
def test_from_python_it_is_the_same_run(
    particles: Path,
    tmp_path: Path,
    words: tuple[object, ...],
    options: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    by_command, out = tmp_path / "command", tmp_path / "function"
    code = run(particles, by_command, *words)
    printed = capsys.readouterr().out
    told, events, steps = list[str](), list[dict[str, Any]](), set[str]()
    found = reconstruct(
        particles,
        str(out),
        checkpoint_seconds=0,
        progress=lambda step, done, total: steps.add(step),
        listeners=(events.append,),
        tell=told.append,
        **options,
    )
    assert contents(out) == contents(by_command)
    assert capsys.readouterr() == ("", "")
    assert all(sentence in printed for sentence in told)
    assert "computing on the CPU" in told[0] and "check images" in steps
    assert bool(told[1:]) == ("--invert-contrast" in words)
    lines = (out / "log.jsonl").read_text().splitlines()
    assert json.loads(json.dumps(events)) == [json.loads(line) for line in lines]
    assert (found.folder, found.report) == (out, out / "report.html")
    assert found.converged == (code == 0) and found.verdict == found.result.verdict.label
    assert len(found.result.poses.rotations) == 120
    # and it is the command's to go on with, or the function's
    before = contents(out)
    again = reconstruct(particles, out, resume=True, **options)
    assert (again.verdict, again.report, again.result) == (found.verdict, found.report, None)
    assert run(particles, out, "--resume", *words) == code and contents(out) == before


def test_a_loss_that_is_no_number_says_what_is_left(
    particles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*arguments: object) -> None:
        raise NonFiniteLossError("encoder", 3, None)

    monkeypatch.setattr(AbInitio, "run", fails)
    assert run(particles, tmp_path / "out") == 4
    said = capsys.readouterr().err
    assert "non-finite" in said and f"checkpoint stays in {tmp_path / 'out/checkpoints'}" in said
    with pytest.raises(NonFiniteLossError, match="non-finite"):
        reconstruct(particles, tmp_path / "out")


def test_a_folder_is_one_runs_alone_and_only_its_files_are_replaced(
    particles: Path, tmp_path: Path, at_step: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out, codes = tmp_path / "out", list[int]()

    def another() -> None:
        codes.extend(run(particles, out, *more) for more in ((), ("--resume",), ("--seed", 1)))

    def contents_now(out: Path) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    at_step(3, another)
    code = run(particles, out)
    assert code in (0, 4) and codes == [2, 2, 2]
    assert f"out is in use by another cryospin: process {os.getpid()}" in capsys.readouterr().err
    assert not (out / LOCK).exists()
    # the living run went on as if nobody had come
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["settings"]["seed"] for line in log if line.get("event") == "run"] == [0]
    # a user's files stay, but in a place that the run wants they stop it
    place = out if code == 0 else out / "not_converged"
    (out / "notes.txt").write_text("mine")
    (place / "my_map.mrc").write_text("mine")
    assert run(particles, out) == code
    assert (out / "notes.txt").exists() and (place / "my_map.mrc").exists()
    (place / "mask.mrc").write_text("mine")
    before = contents_now(out)
    assert run(particles, out) == 2 and contents_now(out) == before
    assert "mask.mrc is in the way" in capsys.readouterr().err


def test_a_full_disk_is_exit_5_and_can_be_resumed(
    particles: Path, tmp_path: Path, at_step: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    code = run(particles, plain)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # no checkpoint is as small: the next one cannot be written
    at_step(6, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1])))
    try:
        assert run(particles, out) == 5
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "checkpoints" in capsys.readouterr().err
    assert run(particles, out, "--resume") == code
    assert contents(out) == contents(plain)


# the command with recipes at toy size, in a process of its own
PROGRAM = """
import sys
import pytest
from cryospin import recipes
from cryospin.cli.main import main
from reconstruct_toys import cut_down, toy
cut_down(pytest.MonkeyPatch())
recipes.find_recipe = toy
main(sys.argv[1:])
"""


class Process:
    """A run that real signals reach."""

    def __init__(self, particles: Path, out: Path, *more: str):
        words = ["reconstruct", particles, "--out", out, "--checkpoint-seconds", 0, *more]
        self.out = out
        self.states_before = self.states()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent / "src", TESTS)))},
        )

    def states(self) -> int:
        """How many were ever written to the folder."""
        # between two renames there is no manifest
        with suppress(FileNotFoundError):
            manifest = (self.out / "checkpoints" / "manifest.json").read_text()
            return int(json.loads(manifest)["number"])
        return 0

    def has_kept(self, states: int) -> bool:
        """Wait until it has written so many; False where it ended before."""
        while self.process.poll() is None:
            if self.states() >= self.states_before + states:
                return True
            time.sleep(0.01)
        return False

    def ended(self) -> tuple[int, str]:
        try:
            told, _ = self.process.communicate(timeout=600)
        finally:
            self.process.kill()
        return self.process.returncode, told


@pytest.mark.long
@pytest.mark.parametrize("recipe", ["exhaustive", "cryospin"])
def test_killed_for_real(tmp_path: Path, recipe: str) -> None:
    """SIGKILL at random moments, SIGUSR1, SIGTERM; then the same files as without."""
    particles = simulated(tmp_path / "data", 120)
    plain, out, rng = tmp_path / "plain", tmp_path / "out", random.Random(1)
    code, told = Process(particles, plain, "--recipe", recipe).ended()
    assert code in (0, 4), told
    more: tuple[str, ...] = ("--recipe", recipe)
    ends = list[int]()
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = Process(particles, out, *more)
        if process.has_kept(rng.randint(1, 3)):
            process.process.send_signal(signal.SIGUSR1)
            time.sleep(rng.uniform(0.0, 0.1))
            process.process.send_signal(number)
        ends.append(process.ended()[0])
        more = ("--recipe", recipe, "--resume")
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 130, -signal.SIGKILL]
    assert Process(particles, out, *more).ended()[0] == code
    assert contents(out) == contents(plain)
