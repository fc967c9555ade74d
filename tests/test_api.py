"""`cryospin.api`: what is meant to be called from Python, and what importing the package costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import cryospin
from cryospin import api
from cryospin.cli.main import main
from test_architecture import HEAVY

BOX, PIXEL = 24, 6.0


def printed(program: str) -> list[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_package_alone_imports_nothing_heavy() -> None:
    program = f"import sys, cryospin; dir(cryospin); print(*set(sys.modules) & {HEAVY!r})"
    assert printed(program) == []


def test_the_api_is_there_without_being_imported() -> None:
    program = "import cryospin; print(cryospin.api.reconstruct.__name__, *dir(cryospin))"
    name, *there = printed(program)
    assert name == "reconstruct" and {"api", "__version__"} <= set(there)


def test_what_is_done_already_is_told_before_torch_is_imported() -> None:
    program = "import sys, cryospin.run.reconstruct, cryospin.run.finished; print(*sys.modules)"
    assert not HEAVY & set(printed(program))


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_is_there_and_explained(name: str) -> None:
    found = getattr(api, name)
    # a package of the same name does not take its place
    assert callable(found) and found.__doc__


def test_nothing_is_there_by_accident() -> None:
    public = {name for name, value in vars(api).items() if callable(value) and name[0] != "_"}
    assert public == set(api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'reconstrct'"):
        _ = cryospin.reconstrct


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("simulated")
    poses = api.draw_poses(120, max_shift_pixel=0.5, pixel_size_angstrom=PIXEL, seed=1)
    microscope = api.Microscope(BOX, PIXEL, 2.0, api.draw_ctf(120, 1), seed=1)
    api.simulate(api.chain_molecule(1), poses, microscope, place)
    (place / "empty.star").write_text("")
    return place


def command(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, object]:
    """Exit code and JSON of a command."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words), "--json"])
    return int(stop.value.code or 0), json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("table", ["particles.star", "empty.star", "none.star"])
@pytest.mark.parametrize("images", [True, False])
def test_check_is_the_commands(
    folder: Path, table: str, images: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    found = api.check(folder / table, images=images)
    more = [] if images else ["--table-only"]
    code, told = command(capsys, "check", folder / table, *more)
    assert json.loads(json.dumps(found)) == told
    assert found["ok"] == (code == 0) == (table == "particles.star")
    assert found["ok"] or (found["problem"] and found["file"] == str(folder / table))


def test_fsc_is_the_commands(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = api.read_map(folder / "truth.mrc")
    noise = torch.randn(truth.values.shape, generator=torch.Generator().manual_seed(1))
    spoilt = api.DensityMap(truth.values + 0.1 * noise, truth.pixel_size_angstrom)
    mask = api.DensityMap((truth.values > truth.values.mean()).float(), truth.pixel_size_angstrom)
    files = [folder / "truth.mrc", tmp_path / "spoilt.mrc", tmp_path / "mask.mrc"]
    for path, density in zip(files[1:], (spoilt, mask), strict=True):
        api.write_map(path, density)
    found = api.fsc(truth, spoilt, mask, seed=2)
    more = ("--mask", files[2], "--seed", 2)
    assert command(capsys, "fsc", *files[:2], *more) == (0, found)
    assert set(found["fsc"]) == {"unmasked", "masked", "corrected"}
    assert api.fsc(truth, truth)["resolution_angstrom"]["unmasked"]["fsc_0.143"] is not None
