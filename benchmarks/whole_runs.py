"""Whole commands on a device: simulated images in, a folder with a verdict out, against the truth.

Part of gpu.py. Each run is a process of its own, as a user's is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.mrc import read_map
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.models import read_model
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from cryospin.threads import available_cores
from cryospin.volumes.alignment import align_maps, apply_alignment
from cryospin.volumes.masks import soft_mask

FIELD_ANGSTROM = 340.0


@dataclass(frozen=True)
class Images:
    """A simulated set."""

    particles: int
    box: int
    snr: float
    max_shift_pixel: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.particles}x{self.box}_snr{self.snr:g}"


SETS = {
    "small": Images(5_000, 64, 0.1, 3.0),
    "paper": Images(50_000, 128, 0.1),
    "noisy": Images(10_000, 64, 0.01, 3.0),
}
TOY = {
    "small": Images(400, 32, 0.3, 1.0),
    "paper": Images(500, 32, 0.3),
    "noisy": Images(400, 32, 0.1, 1.0),
}
RUNS = (("small", "exhaustive"), ("paper", "exhaustive"), ("paper", "cryospin"),
        ("noisy", "exhaustive"))  # fmt: skip


def whole_runs(device: str, folder: Path, model: Path | None, toy: bool) -> list[dict[str, Any]]:
    """Every run of RUNS on the device, and the first also on the CPU."""
    sets = TOY if toy else SETS
    for images in sets.values():
        simulated(images, folder / images.name, model)
    # what is compiled is compiled
    measured(sets["small"], "exhaustive", device, folder, "warm-up")
    found = [measured(sets[name], recipe, device, folder) for name, recipe in RUNS]
    on_cpu = measured(sets["small"], "exhaustive", "cpu", folder)
    maps = [Path(run["folder"]) / "map.mrc" for run in (found[0], on_cpu)]
    if all(path.exists() for path in maps):
        on_cpu["resolution to which both maps agree, Angstrom"] = agreement(*maps)
    return [*found, on_cpu]


def simulated(images: Images, out: Path, model: Path | None) -> None:
    if (out / "particles.star").exists():
        return
    pixel = FIELD_ANGSTROM / images.box
    molecule = chain_molecule(1) if model is None else read_model(model, pixel)
    poses = draw_poses(
        images.particles,
        max_shift_pixel=images.max_shift_pixel,
        pixel_size_angstrom=pixel,
        seed=1,
    )
    microscope = Microscope(images.box, pixel, images.snr, draw_ctf(images.particles, 1), seed=1)
    simulate(molecule, poses, microscope, out, threads=available_cores())


def measured(
    images: Images, recipe: str, device: str, folder: Path, label: str = ""
) -> dict[str, Any]:
    data = folder / images.name
    out = folder / "_".join([images.name, recipe, device.replace(":", "")] + [label] * bool(label))
    command = [sys.executable, "-m", "cryospin", "reconstruct", data / "particles.star"]
    command += ["--out", out, "--recipe", recipe, "--device", device]
    began = time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    run: dict[str, Any] = {
        "images": images.name,
        "recipe": recipe,
        "device": device,
        "seconds": round(seconds, 1),
        "exit": done.returncode,
        "folder": str(out),
    }
    if not (out / "result.json").exists():
        return run | {"said": done.stderr[-2000:]}
    result = json.loads((out / "result.json").read_text())
    judge = [sys.executable, "-m", "cryospin", "evaluate", out, "--json"]
    judge += ["--truth", data / "truth.star"]
    told = subprocess.run(list(map(str, judge)), capture_output=True, text=True, check=False)
    errors = json.loads(told.stdout)["rotation_error_degrees"] if told.returncode == 0 else {}
    return run | {
        "verdict": result["verdict"],
        "resolution": result["resolution_angstrom"]["fsc_0.143"],
        "median degrees": errors.get("median"),
        "mean degrees": errors.get("mean"),
        "beyond 10 degrees, %": errors.get("percent_beyond_10"),
        "card GiB": round((result.get("peak_card_memory_bytes") or 0) / 2**30, 1),
        "stages": result["seconds"],
    }


def agreement(first: Path, second: Path) -> float | None:
    """Where two maps, the one laid upon the other, fall below FSC 0.999, in Angstrom."""
    one, two = read_map(first), read_map(second)
    moved = apply_alignment(two, align_maps(two, one))
    mask = soft_mask(one).values
    curve = fourier_shell_correlation(one.values * mask, moved.values * mask)
    below = [i for i, value in enumerate(curve.tolist()) if value < 0.999]
    shell = below[0] if below else len(curve)
    return one.box * one.pixel_size_angstrom / shell if shell else None


def markdown(runs: list[dict[str, Any]]) -> str:
    columns = ("images", "recipe", "device", "seconds", "verdict", "resolution", "median degrees",
               "mean degrees", "card GiB")  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for run in runs:
        cells = (run.get(column) for column in columns)
        texts = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells)
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)
