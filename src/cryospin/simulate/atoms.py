"""Atomic models, read from PDB or mmCIF as sums of isotropic Gaussians.

A sum of Gaussians has an exact projection in every orientation (projection.py), which
a map on a grid has not. Solvent, disorder and B factors are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from cryospin.errors import BadDataError, UsageError
from cryospin.simulate.projection import GaussianMolecule

# Finer pixels than this can tell atoms of a residue apart, so every atom is a Gaussian;
# at coarser ones a residue is (Nyquist at twice the pixel is then beyond its width).
RESIDUE_PIXEL_ANGSTROM = 2.5
# sigma of one atom's potential, thermal motion included: B = 8 pi^2 sigma^2 of 28 A^2
ATOM_SIGMA_ANGSTROM = 0.6


@dataclass(frozen=True)
class AtomicModel:
    """A molecule, and the chain and residue that each of its g Gaussians belongs to.

    chains: (g,) names, as the file's authors gave them. numbers: (g,) of residues, likewise.
    """

    molecule: GaussianMolecule
    chains: np.ndarray
    numbers: np.ndarray


def read_molecule(
    path: Path, pixel_size_angstrom: float, *, assembly: bool = False
) -> GaussianMolecule:
    """The molecule of `read_atomic_model`."""
    return read_atomic_model(path, pixel_size_angstrom, assembly=assembly).molecule


def read_atomic_model(
    path: Path, pixel_size_angstrom: float, *, assembly: bool = False
) -> AtomicModel:
    """The first model of a PDB or mmCIF file (optionally .gz), centred on its centre of mass.

    Waters, hydrogens and all but the first alternative conformation are dropped. The
    coordinates are those of the file; with `assembly`, biological assembly 1 is built.
    Below `RESIDUE_PIXEL_ANGSTROM` each atom is a Gaussian, else each residue.
    Raises UsageError if there is no such file, BadDataError if it holds no molecule.
    """
    structure = _read_structure(path)
    if assembly:
        if not structure.assemblies:
            raise UsageError(f"{path} describes no biological assembly; leave --assembly out")
        structure.transform_to_assembly("1", gemmi.HowToNameCopiedChain.AddNumber)
    structure.remove_alternative_conformations()
    structure.remove_hydrogens()
    structure.remove_waters()
    named = [(chain.name, residue) for chain in structure[0] for residue in chain if len(residue)]
    residues = [residue for _, residue in named]
    if not residues:
        raise BadDataError(
            "no atoms besides water and hydrogen", file=path, fix="give a PDB or mmCIF model"
        )
    per_residue = pixel_size_angstrom >= RESIDUE_PIXEL_ANGSTROM
    owner = np.repeat(np.arange(len(named)), 1 if per_residue else [len(r) for r in residues])
    return AtomicModel(
        gaussians(residues, per_residue=per_residue).centred(),
        np.array([chain for chain, _ in named])[owner],
        np.array([residue.seqid.num for residue in residues])[owner],
    )


def gaussians(residues: list[gemmi.Residue], *, per_residue: bool) -> GaussianMolecule:
    """One Gaussian per residue, or per atom.

    An atom weighs its electron scattering amplitude at zero angle (Peng et al. 1996, the
    sum of its coefficients). A residue weighs the sum of its atoms', sits at their centre
    of mass, and has their radius of gyration r: sigma^2 = r^2 / 3 + one atom's sigma^2.
    """
    atoms = [atom for residue in residues for atom in residue]
    owner = np.repeat(np.arange(len(residues)), [len(residue) for residue in residues])
    positions = np.array([atom.pos.tolist() for atom in atoms], dtype=np.float64)
    amplitude = {
        symbol: _scattering_amplitude(symbol) for symbol in {a.element.name for a in atoms}
    }
    weights = np.array([amplitude[atom.element.name] for atom in atoms])
    if not per_residue:
        return GaussianMolecule(positions, weights, np.full(len(atoms), ATOM_SIGMA_ANGSTROM))
    total = np.bincount(owner, weights)
    moments = np.stack([np.bincount(owner, weights * positions[:, i]) for i in range(3)], axis=1)
    centres = moments / total[:, None]
    squares = ((positions - centres[owner]) ** 2).sum(axis=1)
    variance = np.bincount(owner, weights * squares) / total / 3.0 + ATOM_SIGMA_ANGSTROM**2
    return GaussianMolecule(centres, total, np.sqrt(variance))


def _scattering_amplitude(symbol: str) -> float:
    coefficients = gemmi.Element(symbol).c4322
    # an element outside the table (X, heavy actinides) still scatters: roughly as carbon
    return float(sum(coefficients.a)) if coefficients is not None else 2.5


def _read_structure(path: Path) -> gemmi.Structure:
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, UnicodeDecodeError) as error:
        raise BadDataError(
            f"cannot be read as PDB or mmCIF ({error})", file=path, fix="check the file's content"
        ) from error
    if len(structure) == 0:
        raise BadDataError("holds no model", file=path, fix="give a PDB or mmCIF with coordinates")
    structure.setup_entities()
    return structure
