"""Several structures from one atomic model: without some of its chains, or with a part turned.

They stay in the frame of the whole model, whose centre of mass is at the origin, so that
differences of their maps mean something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryospin.errors import UsageError
from cryospin.simulate.atoms import AtomicModel, read_atomic_model
from cryospin.simulate.models import ATOMIC, Molecule, kind_of_model, read_model
from cryospin.simulate.projection import GaussianMolecule

_PART = re.compile(r"(?P<chain>[^:\s]+)(:(?P<first>-?\d+)(-(?P<last>-?\d+))?)?")


@dataclass(frozen=True)
class Hinge:
    """A part of a model that turns in steps.

    Parameters
    ----------
    part : str
        Chains and ranges of residues, as in "A,B:1-230".
    steps : int
        Number of conformations. The angle of the first is 0.
    degrees : float
        From each to the next.
    """

    part: str
    steps: int = 100
    degrees: float = 3.6

    @property
    def angles_degrees(self) -> tuple[float, ...]:
        return tuple(step * self.degrees for step in range(self.steps))


def read_structures(
    paths: Sequence[Path],
    pixel_size_angstrom: float,
    *,
    assembly: bool = False,
    remove: Sequence[str] = (),
    hinge: Hinge | None = None,
) -> tuple[Molecule, ...]:
    """Read the structures of a mixture: several models, or states of one.

    Several models are each about their own center of mass. States of one model stay in the frame
    of the whole.

    Parameters
    ----------
    paths : sequence of Path
        As of `read_model`.
    pixel_size_angstrom : float
        As of `read_model`.
    assembly : bool
        Build biological assembly 1 of atomic models.
    remove : sequence of str
        Parts of the only model, as in "A,B:1-230". The structures are the whole model, then the
        model without each of them.
    hinge : Hinge, optional
        The structures are conformations of the only model, one for each step.

    Returns
    -------
    tuple of GaussianMolecule or MapMolecule
        For `draw_mixture`.

    Raises
    ------
    UsageError
        States of several models or of a map are wanted, or `remove` and `hinge` together; a part is
        not in the model, or is all of it; a file does not exist.
    BadDataError
        A file cannot be read.
    """
    if not remove and hinge is None:
        return tuple(read_model(path, pixel_size_angstrom, assembly=assembly) for path in paths)
    if remove and hinge is not None:
        raise UsageError("--remove and --hinge exclude each other\n  fix: leave one of them out")
    option = "--hinge" if hinge else "--remove"
    if len(paths) > 1 or kind_of_model(paths[0]) not in ATOMIC:
        raise UsageError(f"{option} makes states of one atomic model\n  fix: give one PDB or mmCIF")
    model = read_atomic_model(paths[0], pixel_size_angstrom, assembly=assembly)
    if hinge is not None:
        return hinged(model, hinge)
    return (model.molecule, *(without(model, part) for part in remove))


def selected(model: AtomicModel, part: str) -> Bool[np.ndarray, " g"]:
    """The Gaussians of a part: chains and ranges of residues, as in `A,B:1-230`.

    Raises UsageError for what the model does not have, and for none or all of it.
    """
    found = np.zeros(len(model.chains), dtype=bool)
    for word in part.split(","):
        match = _PART.fullmatch(word.strip())
        if match is None:
            fix = "write chains and ranges of residues, such as A,B:1-230"
            raise UsageError(f"{word.strip()!r} is no part of a model\n  fix: {fix}")
        members = model.chains == match["chain"]
        if not members.any():
            known = ", ".join(dict.fromkeys(model.chains.tolist()))
            raise UsageError(f"the model has no chain {match['chain']!r}\n  fix: it has {known}")
        if match["first"] is not None:
            of_chain = model.numbers[members]
            first, last = int(match["first"]), int(match["last"] or match["first"])
            members &= (model.numbers >= first) & (model.numbers <= last)
            if not members.any():
                fix = f"that chain has {of_chain.min()} to {of_chain.max()}"
                raise UsageError(f"the model has no residues {word.strip()}\n  fix: {fix}")
        found |= members
    if found.all():
        raise UsageError(f"{part} is the whole model\n  fix: name a part of it")
    return found


def without(model: AtomicModel, part: str) -> GaussianMolecule:
    """The molecule less a part, where it is."""
    return _of(model.molecule, ~selected(model, part))


def hinged(model: AtomicModel, hinge: Hinge) -> tuple[GaussianMolecule, ...]:
    """The molecule with a part turned, once for each angle; clashes are not looked at.

    The axis leads from the centre of mass of what stays through the joint, so that the part moves
    on a cone that points away from the rest. The joint is where a chain goes from the one into the
    other, the mean of such places; without any, where the two are closest.
    """
    moving = selected(model, hinge.part)
    molecule = model.molecule
    joint = _joint(model, moving)
    axis = joint - _centre_of_mass(_of(molecule, ~moving))
    length = np.linalg.norm(axis)
    if not length > 0:
        fix = "choose a part that leaves something on one side"
        raise UsageError(f"{hinge.part}: the joint is the centre of the rest\n  fix: {fix}")
    found = []
    for angle in hinge.angles_degrees:
        positions = molecule.positions_angstrom.copy()
        turn = Rotation.from_rotvec(np.radians(angle) * axis / length)
        positions[moving] = turn.apply(positions[moving] - joint) + joint
        found.append(replace(molecule, positions_angstrom=positions))
    return tuple(found)


def _joint(model: AtomicModel, moving: Bool[np.ndarray, " g"]) -> Float[np.ndarray, " 3"]:
    positions = model.molecule.positions_angstrom
    crossing = (moving[1:] != moving[:-1]) & (model.chains[1:] == model.chains[:-1])
    crossing &= np.abs(np.diff(model.numbers)) <= 1
    before = np.flatnonzero(crossing)
    if len(before):
        return 0.5 * (positions[before] + positions[before + 1]).mean(axis=0)
    distance, nearest = cKDTree(positions[~moving]).query(positions[moving])
    closest = int(distance.argmin())
    return 0.5 * (positions[moving][closest] + positions[~moving][nearest[closest]])


def _of(molecule: GaussianMolecule, members: Bool[np.ndarray, " g"]) -> GaussianMolecule:
    return GaussianMolecule(
        molecule.positions_angstrom[members],
        molecule.weights[members],
        molecule.sigmas_angstrom[members],
    )


def _centre_of_mass(molecule: GaussianMolecule) -> Float[np.ndarray, " 3"]:
    return molecule.weights @ molecule.positions_angstrom / molecule.weights.sum()
