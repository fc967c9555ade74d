"""Campaigns at toy size: particles, workers as processes of their own, and what a run left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cryospin import recipes, report
from cryospin.campaign.launch import launch
from cryospin.campaign.plan import Campaign
from cryospin.io.atomic import atomic_path
from cryospin.io.record import RECORD
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from reconstruct_toys import cut_down, toy

TESTS = Path(__file__).parent
BOX, PIXEL, COUNT = 24, 6.0, 120

DEFAULTS: dict[str, Any] = {
    "recipe": "exhaustive",
    "junk": True,
    "symmetry": "C1",
    "particle_diameter_angstrom": None,
    "max_resolution_angstrom": None,
    "max_shift_angstrom": None,
    "initial_map": None,
    "initial_lowpass_angstrom": 30.0,
    "deterministic": False,
    "invert_contrast": "auto",
    "allow_bad": False,
}

# what tells when, or the hash of what does
UNLIKE = {"log.jsonl", "result.json", "report.html", RECORD}
TIMES = {"date", "seconds", "seconds_total", "peak_memory_bytes"}

WORKER = """
import os, signal, sys, time
from pathlib import Path
import pytest
from campaign_toys import toys
from cryospin.campaign import work
from cryospin.cli.main import main
from cryospin.explore import amortised
from cryospin.run.finished import Run

campaign, what = sys.argv[1:]
real, steps = amortised.report_of, []

def dying(*arguments):
    steps.append(1)
    if len(steps) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)

def waiting(particles, out, **options):
    while len(os.listdir(Path(campaign) / "claims")) < 2:
        time.sleep(0.02)
    out.mkdir()
    (out / "result.json").write_text("{}")
    return Run(out, "converged", out / "report.html", None)

toys(pytest.MonkeyPatch())
if what == "dies":
    amortised.report_of = dying
else:
    work.reconstruct = waiting
main(["work", campaign, "--checkpoint-seconds", "0", "--threads", "1"])
"""
"""`cryospin work` that "dies" in the midst of its first job, or computes nothing and "waits" there
until another has taken one, too."""


def toys(patch: pytest.MonkeyPatch) -> None:
    """A recipe that takes a second, and a report that takes none."""

    def write_report(run: Path) -> Path:
        with atomic_path(run / "report.html") as temporary:
            temporary.write_text("a page")
        return run / "report.html"

    cut_down(patch)
    patch.setattr(recipes, "find_recipe", lambda name: toy("amortized"))
    patch.setattr(report, "write_report", write_report)


def simulated(folder: Path) -> Path:
    poses = draw_poses(COUNT, max_shift_pixel=0.5, pixel_size_angstrom=PIXEL, seed=1)
    microscope = Microscope(BOX, PIXEL, 2.0, draw_ctf(COUNT, 1), seed=1)
    simulate(chain_molecule(1), poses, microscope, folder)
    return folder / "particles.star"


def launched(particles: Path, out: Path, seeds: int = 2, **more: Any) -> Campaign:
    return launch(particles, out, seeds=seeds, **(DEFAULTS | more))


def worker(campaign: Path, what: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join(map(str, (TESTS.parent / "src", TESTS)))
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(campaign), what],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it printed."""
    try:
        told, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    return process.returncode, told


def contents(run: Path) -> dict[str, Any]:
    """Every file of a run, without what tells when."""
    found: dict[str, Any] = {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in UNLIKE
    }
    told = json.loads((run / "result.json").read_text())
    return found | {name: told[name] for name in told.keys() - TIMES}
