"""What can be simulated from: an atomic model or a map, told apart by the file's name."""

from __future__ import annotations

from pathlib import Path

from cryospin.errors import UsageError
from cryospin.simulate.atoms import read_molecule
from cryospin.simulate.maps import MapMolecule, read_map_molecule
from cryospin.simulate.projection import GaussianMolecule

ATOMIC = {".pdb", ".ent", ".cif", ".mmcif"}
MAPS = {".mrc", ".map", ".ccp4"}

Molecule = GaussianMolecule | MapMolecule
"""What can be looked at from all sides: `project`, `voxelize`, and a `radius_angstrom`."""


def read_model(path: Path, pixel_size_angstrom: float, *, assembly: bool = False) -> Molecule:
    """Read the molecule of a PDB or mmCIF file or an MRC map (each optionally .gz), centred.

    Parameters
    ----------
    path : Path
        The file. Its suffix says what it is.
    pixel_size_angstrom : float
        Of the images to be made: it decides how finely the molecule is described.
    assembly : bool
        Of an atomic model, take the first biological assembly.

    Returns
    -------
    GaussianMolecule or MapMolecule
        What `simulate` makes images of.

    Raises
    ------
    UsageError
        The file does not exist, or its kind is unknown.
    BadDataError
        The file cannot be read.
    """
    kind = kind_of_model(path)
    if kind in MAPS:
        if assembly:
            raise UsageError("--assembly needs an atomic model, not a map")
        return read_map_molecule(path, pixel_size_angstrom)
    return read_molecule(path, pixel_size_angstrom, assembly=assembly)


def kind_of_model(path: Path) -> str:
    """The ending that tells, in lower case, without .gz. Raises UsageError for an unknown one."""
    kind = (Path(path.stem).suffix if path.suffix == ".gz" else path.suffix).lower()
    if kind not in ATOMIC | MAPS:
        known = ", ".join(sorted(ATOMIC | MAPS))
        raise UsageError(f"{path}: not a kind of model known by its name ({known}, or with .gz)")
    return kind
