from __future__ import annotations

import gzip
from pathlib import Path

import gemmi
import numpy as np
import pytest

from cryospin.errors import BadDataError, UsageError
from cryospin.simulate.atoms import (
    ATOM_SIGMA_ANGSTROM,
    RESIDUE_PIXEL_ANGSTROM,
    gaussians,
    read_molecule,
)

COARSE, FINE = RESIDUE_PIXEL_ANGSTROM, 0.5 * RESIDUE_PIXEL_ANGSTROM


def peptide(residues: int = 5) -> gemmi.Structure:
    """Glycines in a row (N CA C O, a hydrogen each) and a water."""
    structure, model, chain = gemmi.Structure(), gemmi.Model(1), gemmi.Chain("A")
    for number in range(residues + 1):
        water = number == residues
        residue = gemmi.Residue()
        residue.name, residue.seqid = ("HOH" if water else "GLY"), gemmi.SeqId(number + 1, " ")
        atoms = [("O", "O")] if water else [(n, n[0]) for n in ("N", "CA", "C", "O", "HA2")]
        for i, (name, element) in enumerate(atoms):
            atom = gemmi.Atom()
            atom.name, atom.element = name, gemmi.Element(element)
            atom.pos = gemmi.Position(3.8 * number + i, 1.5 * (i % 2), 0.3 * i * i)
            residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    return structure


@pytest.fixture
def pdb(tmp_path: Path) -> Path:
    peptide().write_pdb(str(tmp_path / "peptide.pdb"))
    return tmp_path / "peptide.pdb"


def test_a_gaussian_per_residue_or_per_atom(pdb: Path) -> None:
    coarse, fine = read_molecule(pdb, COARSE), read_molecule(pdb, FINE)
    # no water, no hydrogens
    assert (len(coarse), len(fine)) == (5, 20)
    assert np.isclose(coarse.weights.sum(), fine.weights.sum())
    assert (fine.sigmas_angstrom == ATOM_SIGMA_ANGSTROM).all()
    assert (coarse.sigmas_angstrom > ATOM_SIGMA_ANGSTROM).all()


def test_centre_of_mass_is_the_origin(pdb: Path) -> None:
    for pixel in (COARSE, FINE):
        molecule = read_molecule(pdb, pixel)
        assert np.allclose(molecule.weights @ molecule.positions_angstrom, 0.0, atol=1e-6)


def test_weights_are_electron_scattering_amplitudes() -> None:
    """Peng et al. 1996: at zero angle carbon scatters 2.51, nitrogen 2.21, oxygen 1.98 A."""
    residue = peptide(1)[0][0][0]
    for name, amplitude in (("CA", 2.51), ("N", 2.21), ("O", 1.98)):
        alone = gemmi.Residue()
        alone.add_atom(residue[name][0])
        assert abs(gaussians([alone], per_residue=False).weights[0] - amplitude) < 0.01


def test_residues_keep_first_and_second_moments() -> None:
    residues = list(peptide(3)[0][0])[:3]
    fine = gaussians(residues, per_residue=False)
    coarse = gaussians(residues, per_residue=True)
    for molecule in (fine, coarse):
        spread = (molecule.positions_angstrom**2).sum(axis=1) + 3 * molecule.sigmas_angstrom**2
        assert np.isclose(
            (molecule.weights * spread).sum(),
            (fine.weights * ((fine.positions_angstrom**2).sum(axis=1) + 3 * 0.36)).sum(),
        )
    assert np.allclose(
        coarse.weights @ coarse.positions_angstrom, fine.weights @ fine.positions_angstrom
    )


def test_mmcif_and_gzip_say_the_same(pdb: Path) -> None:
    structure = gemmi.read_structure(str(pdb))
    structure.setup_entities()
    cif = pdb.with_suffix(".cif")
    structure.make_mmcif_document().write_file(str(cif))
    packed = Path(f"{cif}.gz")
    packed.write_bytes(gzip.compress(cif.read_bytes()))
    expected = read_molecule(pdb, FINE).positions_angstrom
    for path in (cif, packed):
        assert np.allclose(read_molecule(path, FINE).positions_angstrom, expected, atol=1e-3)


def test_assembly_copies_the_molecule(pdb: Path) -> None:
    structure = peptide()
    half_turn = gemmi.Transform()
    # about an axis along z through x = 30
    half_turn.mat.fromlist([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    half_turn.vec.fromlist([60.0, 0.0, 0.0])
    generator = gemmi.Assembly.Gen()
    generator.chains = ["A"]
    for transform in (gemmi.Transform(), half_turn):
        operator = gemmi.Assembly.Operator()
        operator.transform = transform
        generator.operators.append(operator)
    dimer = gemmi.Assembly("1")
    dimer.generators.append(generator)
    structure.assemblies.append(dimer)
    path = pdb.with_name("dimer.cif")
    structure.make_mmcif_document().write_file(str(path))
    assert len(read_molecule(path, COARSE)) == 5
    both = read_molecule(path, COARSE, assembly=True)
    assert len(both) == 10
    x = np.sort(both.positions_angstrom[:, 0])
    # centred on the axis, the half-turn maps x to -x
    assert np.allclose(x, -x[::-1], atol=1e-3)
    assert x.max() > 15.0
    with pytest.raises(UsageError, match="assembly"):
        read_molecule(pdb, COARSE, assembly=True)


def test_no_file_no_text_no_atoms(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_molecule(tmp_path / "missing.pdb", COARSE)
    for name, content in (
        ("text.pdb", "nothing of the kind\n"),
        ("text.cif", "nothing of the kind\n"),
        ("empty.pdb", ""),
        ("torn.pdb.gz", "not gzip"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(BadDataError, match=name):
            read_molecule(tmp_path / name, COARSE)
    water = peptide(0)
    water.write_pdb(str(tmp_path / "water.pdb"))
    with pytest.raises(BadDataError, match="no atoms"):
        read_molecule(tmp_path / "water.pdb", COARSE)
