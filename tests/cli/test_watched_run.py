"""A run's page in Chromium while a real run is at work, is killed, goes on, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from report.browser import BINARY, Browser

pytestmark = pytest.mark.skipif(
    BINARY is None, reason="needs Chromium on the PATH (Debian package chromium)"
)
TESTS = Path(__file__).parents[1]
# a toy's exploration waits for who watches: it goes on once the file `go` is there
PROGRAM = """
import sys, time
from pathlib import Path
import pytest
from cryospin import recipes
from cryospin.cli.main import main
from cryospin.explore import exhaustive
from reconstruct_toys import cut_down, toy
cut_down(pytest.MonkeyPatch())
recipes.find_recipe = toy
sharpened = exhaustive._Race.sharpened
def waiting(*arguments):
    while not Path("go").exists():
        time.sleep(0.05)
    return sharpened(*arguments)
exhaustive._Race.sharpened = waiting
main(sys.argv[1:])
"""
ENDED = "/Converged|Ambiguous|Failed/.test(document.title)"


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cryospin.simulate.dataset import Microscope, simulate
    from cryospin.simulate.molecule import chain_molecule
    from cryospin.simulate.poses import draw_poses
    from cryospin.simulate.transfer import draw_ctf

    folder = tmp_path_factory.mktemp("simulated")
    poses = draw_poses(120, max_shift_pixel=0.5, pixel_size_angstrom=6.0, seed=1)
    simulate(chain_molecule(1), poses, Microscope(24, 6.0, 2.0, draw_ctf(120, 1), seed=1), folder)
    return folder / "particles.star"


def begun(particles: Path, place: Path, *more: str) -> subprocess.Popen[str]:
    words = ["reconstruct", str(particles), "--out", "run", "--checkpoint-seconds", "0", *more]
    paths = os.pathsep.join(map(str, (TESTS.parent / "src", TESTS)))
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )


def until(chromium: Browser, expression: str, process: subprocess.Popen[str] | None) -> None:
    end = time.monotonic() + 100
    while not chromium.ask(expression):
        assert time.monotonic() < end, f"never: {expression}"
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


def test_watched_killed_resumed_and_ended(
    chromium: Browser, particles: Path, tmp_path: Path
) -> None:
    page = tmp_path / "run" / "report.html"
    process = begun(particles, tmp_path)
    try:
        end = time.monotonic() + 100
        while not page.exists():
            assert process.poll() is None and time.monotonic() < end, process.communicate()[0]
            time.sleep(0.05)
        chromium.open(page, 390)
        until(chromium, "drawn.has('half-set 1')", process)
        assert chromium.ask("document.title").startswith("run: Exploring")
        assert "cryospin reconstruct" in chromium.ask(
            "document.getElementById('command').innerText"
        )
        process.send_signal(signal.SIGKILL)
        process.communicate()
        written = chromium.ask("document.getElementById('freshness').dataset.written")
        (tmp_path / "go").touch()
        process = begun(particles, tmp_path, "--resume")
        # what is open goes on with the run
        until(
            chromium,
            f"{ENDED} || document.getElementById('freshness').dataset.written > {written!r}",
            None,
        )
        told, _ = process.communicate(timeout=300)
        assert process.returncode in (0, 4), told
        until(chromium, ENDED, None)
    finally:
        process.kill()
        process.communicate()
    assert chromium.complaints() == []
    assert {address.split("?")[0] for address in chromium.requests()} == {page.as_uri()}
