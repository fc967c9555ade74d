"""Seconds and memory of whole runs by the number of particles: a table, and what a particle costs.

    python benchmarks/scaling.py --model 4zxb.cif.gz --particles 5000 20000 80000 --work scaling

Particles are simulated once, so many as the largest run needs; smaller runs take the first of
them. Each run is a process of its own. With --memory images are read from a file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cryospin.io.relion import read_particles, write_new_particles
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.models import read_model
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from cryospin.threads import available_cores

FIELD_ANGSTROM = 230.0
STAGES = (
    "start", "audit", "read", "explore", "assign", "join", "refine", "symmetry", "postprocess",
    "write",
)  # fmt: skip


def main() -> None:
    options = arguments()
    pixel = FIELD_ANGSTROM / options.box
    data = options.work / f"data{options.box}"
    simulated(options, pixel, data)
    runs = [measured(options, data, count) for count in options.particles]
    print("| particles | " + " | ".join(STAGES) + " | all | GB |")
    print("|" + "---|" * (len(STAGES) + 3))
    for run in runs:
        seconds = [f"{run['seconds'].get(stage, 0.0):.1f}" for stage in STAGES]
        print(f"| {run['particles']:,} | " + " | ".join(seconds), end="")
        print(f" | {run['seconds_total']:.0f} | {run['peak_memory_bytes'] / 1e9:.2f} |")
    first, last = runs[0], runs[-1]
    if len(runs) > 1:
        more = last["particles"] - first["particles"]
        each = {
            stage: 1e6 * (last["seconds"].get(stage, 0.0) - first["seconds"].get(stage, 0.0)) / more
            for stage in STAGES
        }
        print(
            "| microseconds for one more | " + " | ".join(f"{each[s]:.0f}" for s in STAGES), end=""
        )
        print(f" | {1e6 * (last['seconds_total'] - first['seconds_total']) / more:.0f} | |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="PDB or mmCIF file")
    parser.add_argument("--particles", type=int, nargs="+", required=True)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--memory", type=float, help="GB, as of cryospin reconstruct")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--work", type=Path, required=True)
    return parser.parse_args()


def simulated(options: argparse.Namespace, pixel: float, data: Path) -> None:
    if (data / "particles.star").exists():
        return
    most = max(options.particles)
    poses = draw_poses(most, max_shift_pixel=2.0, pixel_size_angstrom=pixel, seed=1)
    microscope = Microscope(options.box, pixel, options.snr, draw_ctf(most, 1), seed=1)
    simulate(read_model(options.model, pixel), poses, microscope, data, threads=options.threads)


def measured(options: argparse.Namespace, data: Path, count: int) -> dict[str, Any]:
    """result.json of a run on the first so many particles."""
    whole = read_particles(data / "particles.star")
    stack = whole.select(np.arange(count))
    table = data / f"first{count}.star"
    write_new_particles(table, stack.uids, stack.optics, stack.box, stack.optics_group, stack.ctf)
    out = options.work / f"run{options.box}_{count}"
    words = ["reconstruct", table, "--out", out, "--threads", options.threads]
    words += [] if options.memory is None else ["--memory", options.memory]
    command = [sys.executable, "-m", "cryospin", *map(str, words)]
    ended = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
    assert ended in (0, 4), command  # 4: not converged
    found: dict[str, Any] = json.loads((out / "result.json").read_text())
    return found


if __name__ == "__main__":
    main()
