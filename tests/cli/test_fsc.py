"""`cryospin fsc` as a user meets it."""

import json
from pathlib import Path

import pytest
import torch
from scipy.spatial.transform import Rotation

from cryospin.cli.main import main
from cryospin.io.mrc import write_map
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.projection import GaussianMolecule
from cryospin.types import DensityMap
from cryospin.volumes.masks import spherical_mask

BOX, PIXEL = 32, 6.0


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """a.mrc and b.mrc: one molecule with independent noise; turned.mrc: it, turned."""
    molecule = chain_molecule(2, domains=5, residues_per_domain=60)
    values = torch.as_tensor(molecule.voxelize(BOX, PIXEL))
    generator = torch.Generator().manual_seed(0)
    for name in ("a", "b"):
        noise = values.std() * torch.randn(values.shape, generator=generator)
        write_map(tmp_path / f"{name}.mrc", DensityMap(values + noise, PIXEL))
    turn = Rotation.from_euler("zyz", [100, 50, 20], degrees=True).as_matrix()
    turned = GaussianMolecule(
        molecule.positions_angstrom @ turn.T, molecule.weights, molecule.sigmas_angstrom
    )
    write_map(
        tmp_path / "turned.mrc", DensityMap(torch.as_tensor(turned.voxelize(BOX, PIXEL)), PIXEL)
    )
    write_map(tmp_path / "mask.mrc", spherical_mask(BOX, PIXEL, 60.0, 18.0))
    write_map(tmp_path / "small.mrc", DensityMap(values[:16, :16, :16], PIXEL))
    return tmp_path


def test_prints_shells_and_resolutions(maps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fsc", maps / "a.mrc", maps / "b.mrc", "--mask", maps / "mask.mrc") == 0
    heard = capsys.readouterr().out
    assert "corrected" in heard and "A at 0.143" in heard and "192.00" in heard


def test_json_of_equal_maps(maps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fsc", maps / "a.mrc", maps / "a.mrc", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["alignment"] is None
    assert found["fsc"]["unmasked"] == pytest.approx([1.0] * 15)
    assert found["resolution_angstrom"]["unmasked"]["fsc_0.5"] == pytest.approx(12.8)


def test_align_superimposes_first(maps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("fsc", maps / "turned.mrc", maps / "a.mrc", "--json")
    before = json.loads(capsys.readouterr().out)["resolution_angstrom"]["unmasked"]["fsc_0.5"]
    assert run("fsc", maps / "turned.mrc", maps / "a.mrc", "--align", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["resolution_angstrom"]["unmasked"]["fsc_0.5"] < 0.7 * before
    assert not found["alignment"]["flipped"]
    assert run("fsc", maps / "turned.mrc", maps / "a.mrc", "--align") == 0
    assert "A was turned onto B" in capsys.readouterr().out
