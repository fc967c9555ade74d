"""`cryospin posterior` as a user meets it, on a run made up of a truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.cli.main import main
from cryospin.cli.posterior import entropy_in_words
from cryospin.fourier.disk import FourierDisk, coefficients_to_images, moved
from cryospin.io.mrc import StackWriter, write_map
from cryospin.io.relion import write_new_particles
from cryospin.kernels import slice_volume
from cryospin.optics import CtfParameters, Optics
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import DensityMap, Poses
from cryospin.volumes.gridded import map_to_volume
from phantoms import random_turns

BOX, PIXEL, COUNT = 32, 6.0, 24


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of a molecule with noise, in `data`, and a run that found the truth, in `run`."""
    folder = tmp_path_factory.mktemp("posterior")
    data, out = folder / "data", folder / "run"
    data.mkdir()
    out.mkdir()
    rng = np.random.default_rng(0)
    values = torch.as_tensor(
        chain_molecule(1, domains=3, residues_per_domain=60).voxelize(BOX, PIXEL)
    )
    disk = FourierDisk.of(BOX)
    rotations = random_turns(COUNT, 1).float()
    shifts = torch.as_tensor(rng.uniform(-1, 1, (COUNT, 2))).float()
    projections = slice_volume(map_to_volume(values.float(), BOX, disk.radius), rotations, disk)
    images = coefficients_to_images(moved(projections, shifts, disk), disk)
    # background of deviation 1 after the run's normalisation; the map is scaled to it
    scale = 1.5 / float(images.std())
    noisy = images * scale + torch.as_tensor(rng.standard_normal(images.shape)).float()
    with StackWriter(data / "particles.mrcs", BOX, PIXEL, COUNT) as stack:
        stack.append(noisy.numpy())
    zeros = torch.zeros(COUNT, dtype=torch.float64)
    # amplitude contrast 1 and no defocus: a transfer of 1
    ctf = CtfParameters(zeros, zeros, zeros, zeros, zeros + 300, zeros, zeros + 1)
    names = [f"{i + 1:06d}@particles.mrcs" for i in range(COUNT)]
    poses = Poses(rotations.double(), shifts.double() * PIXEL, zeros + 1)
    arguments = names, (Optics("one", PIXEL, 300.0, 0.0, 1.0),), BOX, np.zeros(COUNT, int), ctf
    write_new_particles(data / "particles.star", *arguments)
    halves = np.arange(COUNT) % 2 + 1
    write_new_particles(out / "particles.star", *arguments, poses, half_set=halves)
    for half in (1, 2):
        noise = torch.as_tensor(rng.standard_normal((BOX,) * 3)) * 0.002 * values.max()
        write_map(out / f"half{half}.mrc", DensityMap((values + noise).float() * scale, PIXEL))
    settings = {"particles": str(data / "particles.star"), "max_shift_angstrom": 9.0}
    told = {"verdict": "converged", "symmetry": "C1", "settings": settings}
    (out / "result.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return shutil.copytree(finished / "run", tmp_path / "run")


def test_the_pose_of_the_run_is_the_best_there_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("posterior", folder, "--particle", 3, "--nside", 6, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["uid"] == "000003@particles.mrcs" and told["row"] == 3 and told["half"] == 1
    assert told["map"] == "half1.mrc"
    # what polishing gains on the truth is the noise that five parameters can fit
    assert -12 < told["run"]["log_posterior"] <= 0.1
    assert told["best"][0]["log_posterior"] == 0
    assert all(pose["log_posterior"] <= 0 for pose in told["best"])
    assert "view direction" in told["entropy_in_words"]
    picture = Path(told["picture"])
    assert picture == folder / "posterior_000003_particles.mrcs.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    # the picture is ours to draw again, until somebody puts another in its place
    again = "posterior", folder, "--particle", 3, "--nside", 2
    assert run(*again) == 0
    picture.write_bytes(b"mine")
    assert run(*again) == 2 and picture.read_bytes() == b"mine"
    assert "in the way" in capsys.readouterr().err


def test_says_it_in_words_and_takes_the_other_half(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "half2.mrc").unlink()
    assert run("posterior", folder, "--particle", "4@particles.mrcs", "--nside", 4) == 0
    heard = capsys.readouterr().out
    assert "000004@particles.mrcs" in heard and "best 1" in heard
    assert "its own half's map is missing" in " ".join(heard.split())


def test_a_run_that_did_not_converge(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = folder / "not_converged"
    failed.mkdir()
    for name in ("half1.mrc", "half2.mrc", "particles.star"):
        (folder / name).rename(failed / name)
    for place in (folder, failed):
        assert run("posterior", place, "--particle", 1, "--nside", 4, "--json") == 0
        assert (place / "posterior_000001_particles.mrcs.png").is_file()
        capsys.readouterr()


@pytest.mark.parametrize(
    "particle, words",
    [
        ("99", "row from 1 to 24"),
        ("0", "row from 1 to 24"),
        (
            "000099@particles.mrcs",
            "nearest of its 24 particles: 000019@particles.mrcs, 000009@particles.mrcs",
        ),
        ("nonsense", "nearest of its 24 particles"),
    ],
)
def test_unknown_particles(
    folder: Path, particle: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("posterior", folder, "--particle", particle) == 3
    assert words in capsys.readouterr().err


def test_folders_that_will_not_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = folder / "result.json"
    told = json.loads(result.read_text())
    told["settings"]["particles"] = str(folder / "moved.star")
    result.write_text(json.dumps(told))
    assert run("posterior", folder, "--particle", 1) == 3
    assert "moved.star" in (heard := capsys.readouterr().err) and "back where" in heard
    for half in (1, 2):
        (folder / f"half{half}.mrc").unlink()
    assert run("posterior", folder, "--particle", 1) == 3
    assert "the run has no map" in capsys.readouterr().err
    result.unlink()
    assert run("posterior", folder, "--particle", 1) == 3
    assert "cryospin reconstruct" in capsys.readouterr().err


def test_a_stack_that_was_moved(
    finished: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = folder / "elsewhere" / "particles.star"
    table.parent.mkdir()
    shutil.copy(finished / "data" / "particles.star", table)
    result = folder / "result.json"
    told = json.loads(result.read_text())
    told["settings"]["particles"] = str(table)
    result.write_text(json.dumps(told))
    assert run("posterior", folder, "--particle", 1) == 3
    assert "particles.mrcs" in capsys.readouterr().err


def test_words_of_entropy() -> None:
    words = [entropy_in_words(float(np.log(n)), 1000) for n in (1.01, 3, 50, 900)]
    assert len({line.split(" (")[0] for line in words}) == 4
