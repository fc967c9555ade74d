"""A small run directory as `cryospin reconstruct` leaves it, made without reconstructing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cryospin.io.mrc import write_map
from cryospin.io.relion import write_new_particles
from cryospin.io.star import StarBlock, StarFile
from cryospin.io.star_writer import write_star
from cryospin.optics import CtfParameters, Optics
from cryospin.report.page import write_report
from cryospin.types import DensityMap, Poses

BOX, PIXEL, PARTICLES = 32, 4.0, 150


def evidence(name: str, value: float, limit: float | None, passed: bool, counts: str):
    """One entry of result.json's list."""
    words = f"what it means that {name} is {value}"
    return {
        "name": name,
        "value": value,
        "unit": "shells",
        "limit": limit,
        "passed": passed,
        "counts": counts,
        "words": words,
    }


@pytest.fixture(scope="session")
def result() -> dict[str, Any]:
    return {
        "program": "cryospin",
        "version": "0.1.0",
        "verdict": "converged",
        "reasons": ["the half-sets found the same map"],
        "warnings": ["views are unevenly spread"],
        "resolution_angstrom": {"fsc_0.143": 12.3, "fsc_0.5": 15.6},
        "particles": PARTICLES,
        "box": BOX,
        "pixel_size_angstrom": PIXEL,
        "particle": {"diameter_angstrom": 64.0, "mask_diameter_angstrom": 80.0, "given": False},
        "symmetry": "C1",
        "seconds": {"read": 1.0, "explore": 20.0, "refine": 9.0},
        "seconds_total": 30.0,
        "peak_memory_bytes": 1.2e9,
        "explore": {
            "half1": [{"start": 1, "score": 0.1}, {"start": 2, "score": 0.2}],
            "half2": [{"start": 1, "score": 0.2}, {"start": 2, "score": 0.2}],
            "agreement_radius": 7.5,
        },
        "refine": [
            {"radius": 8.0, "limit": 9.0, "median_turn_degrees": 2.0},
            {"radius": 10.0, "limit": 10.4, "median_turn_degrees": 0.4},
        ],
        "evidence": [evidence("agreement of the half-maps", 19.25, 10.5, True, "failed")],
        "settings": {
            "recipe": "exhaustive",
            "max_resolution_angstrom": None,
            "screening": {"rejected": 2, "rejected_by_reason": {"NaN or infinite pixels": 2}},
        },
        "versions": {"torch": "2.13.0"},
        "date": "2026-01-02T03:04:05+00:00",
    }


@pytest.fixture(scope="session")
def poses() -> Poses:
    generator = torch.Generator().manual_seed(7)
    rotations = torch.linalg.qr(torch.randn(PARTICLES, 3, 3, generator=generator).double())[0]
    rotations = rotations * torch.linalg.det(rotations)[:, None, None]
    return Poses(
        rotations,
        torch.randn(PARTICLES, 2, generator=generator).double() * 5,
        torch.rand(PARTICLES, generator=generator).double(),
    )


@pytest.fixture(scope="session")
def whole_run(
    tmp_path_factory: pytest.TempPathFactory, result: dict[str, Any], poses: Poses
) -> Path:
    """A complete run directory; tests that change files take `run_directory`."""
    folder = tmp_path_factory.mktemp("whole") / "run of <ribosomes> & co"
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(result))
    noise = np.random.default_rng(3)
    place = np.indices((BOX,) * 3) - BOX // 2
    particle = 5 * np.exp(-(place[0] ** 2 / 60 + place[1] ** 2 / 30 + place[2] ** 2 / 15))
    for name in ("map.mrc", "half1.mrc", "half2.mrc", "mask.mrc"):
        values = particle + 0.1 * noise.normal(size=(BOX,) * 3)
        write_map(folder / name, DensityMap(torch.as_tensor(values, dtype=torch.float32), PIXEL))
    write_poses(folder / "particles.star", poses)
    write_fsc(folder / "fsc.star")
    write_pictures(folder)
    return folder


@pytest.fixture(scope="session")
def whole_page(whole_run: Path) -> Path:
    """The complete run's report.html."""
    path = write_report(whole_run)
    assert path == whole_run / "report.html"
    return path


@pytest.fixture
def run_directory(whole_run: Path, tmp_path: Path) -> Path:
    """A copy of the complete run."""
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


@pytest.fixture
def bare_run(whole_run: Path, tmp_path: Path) -> Path:
    """A run of which only result.json is left, and hence quick to report."""
    shutil.copy(whole_run / "result.json", tmp_path)
    return tmp_path


def write_poses(path: Path, poses: Poses) -> None:
    ones = torch.ones(PARTICLES)
    ctf = CtfParameters(
        1e4 * ones, 1e4 * ones, 0 * ones, 0 * ones, 300 * ones, 2.7 * ones, 0.1 * ones
    )
    write_new_particles(
        path,
        [f"{number + 1:06d}@particles.mrcs" for number in range(PARTICLES)],
        (Optics("first", PIXEL, 300.0, 2.7, 0.1),),
        BOX,
        np.zeros(PARTICLES, dtype=int),
        ctf,
        poses,
    )


def write_pictures(folder: Path) -> None:
    """Samples as reconstruct.samples leaves them, of noise."""
    pictures = np.random.default_rng(5).normal(size=(4, 3, 24, 24))
    names = np.array(["1@a", "2@a", "3@a"])
    np.savez(
        folder / "samples.npz",
        image=pictures[0],
        reprojection=pictures[1],
        name=names,
        group=np.array(["sure", "middling", "unsure"]),
        confidence=np.array([0.9, 0.5, 0.1]),
        correlation=np.array([0.8, 0.4, 0.05]),
        lowpass_angstrom=np.array(20.0),
    )
    bad = pictures[2, :2]
    bad[0, 3, 4], bad[1] = np.nan, np.nan
    np.savez(
        folder / "particle.npz",
        mean_image=pictures[3, 0],
        box_angstrom=np.array(BOX * PIXEL),
        variance=np.linspace(1, 0, BOX // 2),
        radius_angstrom=np.arange(BOX // 2) * PIXEL,
    )
    reason = np.array(["NaN or infinite pixels"] * 2)
    np.savez(folder / "rejected.npz", image=bad, name=names[:2], reason=reason)


def write_fsc(path: Path) -> None:
    shell = np.arange(1, BOX // 2)
    frequency = shell / (BOX * PIXEL)
    fall = 1 / (1 + np.exp((shell - 9) * 1.2))
    columns = {
        "rlnSpectralIndex": shell,
        "rlnResolution": frequency,
        "rlnAngstromResolution": 1 / frequency,
        "rlnFourierShellCorrelationUnmaskedMaps": fall**1.5,
        "rlnFourierShellCorrelationMaskedMaps": fall,
        "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps": 0.2 * fall,
        "rlnFourierShellCorrelationCorrected": fall,
    }
    text = {name: [f"{value:.6f}" for value in values] for name, values in columns.items()}
    write_star(path, StarFile({"fsc": StarBlock(columns=text)}))


@pytest.fixture(scope="session")
def mixture_run(tmp_path_factory: pytest.TempPathFactory, result: dict[str, Any]) -> Path:
    """A run with three classes: two states of one structure, and one that failed."""
    folder = tmp_path_factory.mktemp("mixture") / "run of <three> & junk"
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(mixture_result(result)))
    rounds = ([0.2, 0.3, 0.5], [0.3, 0.55, 0.1], [0.31, 0.56, 0.11])
    told = [
        {"event": "fractions", "stage": "refine classes", "half": half, "fractions": fractions}
        for fractions in rounds
        for half in (1, 2)
    ]
    (folder / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in told))
    place = np.indices((BOX,) * 3) - BOX // 2
    core = 5 * np.exp(-(place[0] ** 2 / 60 + place[1] ** 2 / 30 + place[2] ** 2 / 15))
    lobe = 5 * np.exp(-((place[0] ** 2 + (place[1] - 7) ** 2 + place[2] ** 2) / 8))
    other = 5 * np.exp(-((place**2).sum(axis=0) / 30))
    maps = {
        "class_01/map.mrc": core + lobe,
        "class_02/map.mrc": core,
        "class_03/not_converged/map.mrc": other,
        "class_02_minus_01.mrc": -lobe,
    }
    noise = np.random.default_rng(3)
    for name, values in maps.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        values = values + 0.1 * noise.normal(size=(BOX,) * 3)
        write_map(folder / name, DensityMap(torch.as_tensor(values, dtype=torch.float32), PIXEL))
    return folder


def mixture_result(result: dict[str, Any]) -> dict[str, Any]:
    """As `mixture.outputs` writes it at the top of a run with classes."""
    shared = ("program", "version", "particles", "box", "pixel_size_angstrom", "seconds")
    kept = {name: result[name] for name in (*shared, "settings", "versions", "date")}
    classes = [
        {
            "folder": f"class_{number:02d}",
            "particles": particles,
            "fraction": particles / PARTICLES,
            "verdict": verdict,
            "reasons": [f"why class {number} {verdict}"],
            "agreement_radius": 9.5,
            "resolution_angstrom": {"fsc_0.143": reached, "fsc_0.5": reached},
        }
        for number, particles, verdict, reached in (
            (1, 75, "converged", 11.5),
            (2, 45, "converged", 13.5),
            (3, 15, "failed", None),
        )
    ]
    return kept | {
        "seconds_total": 30.0,
        "verdict": "ambiguous",
        "reasons": ["4 classes were asked for, and the images support 3"],
        "classes_asked": 4,
        "junk": {"particles": 15, "fraction": 0.1},
        "classes": classes,
        "compared": [
            {"classes": [1, 2], "kappa": 0.81, "difference": 0.64},
            {"classes": [1, 3], "kappa": 0.93, "difference": 0.71},
            {"classes": [2, 3], "kappa": 0.90, "difference": 0.66},
        ],
        "joined": [{"kappa": 0.02, "difference": 0.05}],
        "confusion_between_halves": [[70, 4, 1], [5, 39, 1], [0, 0, 15]],
    }


@pytest.fixture(scope="session")
def mixture_page(mixture_run: Path) -> Path:
    """The report.html of a run with classes."""
    return write_report(mixture_run)


@pytest.fixture
def mixture_directory(mixture_run: Path, tmp_path: Path) -> Path:
    """A copy of the run with classes."""
    return Path(shutil.copytree(mixture_run, tmp_path / "run"))


@pytest.fixture
def bare_mixture(mixture_run: Path, tmp_path: Path) -> Path:
    """A run with classes of which only result.json is left, and hence quick to report."""
    shutil.copy(mixture_run / "result.json", tmp_path)
    return tmp_path
