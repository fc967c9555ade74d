"""Several structures in one stack: which of them each image shows, drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from cryospin.errors import UsageError
from cryospin.particles.draws import generator_for
from cryospin.simulate.maps import MapMolecule
from cryospin.simulate.models import Molecule
from cryospin.types import Classes


@dataclass(frozen=True)
class Mixture:
    """Structures, and the one that each particle shows.

    Parameters
    ----------
    molecules : tuple of GaussianMolecule or MapMolecule
        States of one model are in one frame.
    shown : array, shape (n,)
        The structure of each particle, counted from 0; -1: junk, none of them.
    angles_degrees : tuple of float or None
        Of the hinge, if the structures are conformations of one class. None: each is a class.
    """

    molecules: tuple[Molecule, ...]
    shown: Int[np.ndarray, " n"]
    angles_degrees: tuple[float, ...] | None = None

    @property
    def junk(self) -> bool:
        return bool((self.shown < 0).any())

    @property
    def plain(self) -> bool:
        """Whether it is one structure and nothing else."""
        return len(self.molecules) == 1 and not self.junk

    @property
    def classes(self) -> Classes:
        number = self.shown if self.angles_degrees is None else np.minimum(self.shown, 0)
        return Classes(torch.from_numpy(number))

    @property
    def in_words(self) -> str:
        """How many particles show what."""
        counts = np.bincount(self.shown + 1, minlength=len(self.molecules) + 1).tolist()
        if self.angles_degrees is None:
            found = [f"class {number}: {count}" for number, count in enumerate(counts[1:], start=1)]
        else:
            found = [f"{len(counts) - 1} conformations: {sum(counts[1:])}"]
        return ", ".join(found + [f"junk: {counts[0]}"] * self.junk) + " particles"

    @property
    def radius_angstrom(self) -> float:
        """Of the largest."""
        return max(molecule.radius_angstrom for molecule in self.molecules)


def draw_mixture(
    molecules: Sequence[Molecule],
    particles: int,
    pixel_size_angstrom: float,
    *,
    seed: int,
    fractions: Sequence[float] | None = None,
    junk: float = 0.0,
    angles_degrees: tuple[float, ...] | None = None,
) -> Mixture:
    """Draw which structure each particle shows.

    All structures are brought to one scale: the same mass gives the same contrast. A map may have
    any unit, so its densest tenth is taken to be as dense as protein.

    Parameters
    ----------
    molecules : sequence of GaussianMolecule or MapMolecule
        From `read_structures`, `read_model` or `chain_molecule`.
    particles : int
        Their number.
    pixel_size_angstrom : float
        Of the images.
    seed : int
        Particle i shows the same, whatever the number of particles.
    fractions : sequence of float, optional
        Of the structures among the particles that show one; they need not sum to 1. Default: equal.
    junk : float
        Fraction of the particles that show none.
    angles_degrees : tuple of float, optional
        Of `Hinge`, if the structures are its conformations.

    Returns
    -------
    Mixture
        For `simulate`.

    Raises
    ------
    UsageError
        There is not one positive fraction, or one angle, for each structure; no particle is left
        beside the junk.
    """
    weights = np.ones(len(molecules)) if fractions is None else np.asarray(fractions, float)
    if len(weights) != len(molecules) or not (np.isfinite(weights) & (weights > 0)).all():
        given = ",".join(f"{weight:g}" for weight in weights.tolist())
        fix = f"give {len(molecules)} positive numbers, one for each structure"
        raise UsageError(f"--fractions {given}: no fractions of the structures\n  fix: {fix}")
    if not 0.0 <= junk < 1.0:
        raise UsageError(f"--junk {junk:g} is no fraction\n  fix: 0 or more, and less than 1")
    if angles_degrees is not None and len(angles_degrees) != len(molecules):
        raise UsageError(f"{len(angles_degrees)} angles for {len(molecules)} structures")
    edges = np.cumsum(weights) / weights.sum()
    edges[-1] = 1.0
    drawn = np.stack([generator_for(seed, "structure", i).random(2) for i in range(particles)])
    shown = np.where(drawn[:, 0] < junk, -1, np.searchsorted(edges, drawn[:, 1], side="right"))
    if (shown < 0).all():
        fix = "simulate more particles, or less junk"
        raise UsageError(f"--junk {junk:g}: no particle is left\n  fix: {fix}")
    scaled = tuple(
        each.as_protein(pixel_size_angstrom) if isinstance(each, MapMolecule) else each
        for each in molecules
    )
    return Mixture(scaled, shown, angles_degrees)
