"""A made-up molecule, for demonstrations and tests that must not download anything."""

from __future__ import annotations

import numpy as np

from cryospin.simulate.projection import GaussianMolecule

RESIDUE_STEP_ANGSTROM = 3.8
# of an average amino acid: scattering amplitude and Gaussian width, as atoms.py finds them
RESIDUE_WEIGHT = 18.5
RESIDUE_SIGMA_ANGSTROM = 1.3
RESIDUE_VOLUME_ANGSTROM3 = 135.0
PROTEIN_DENSITY = RESIDUE_WEIGHT / RESIDUE_VOLUME_ANGSTROM3
"""Scattering amplitude of protein in a cubic Angstrom, as the weights of residues count it."""


def chain_molecule(
    seed: int = 0, *, domains: int = 6, residues_per_domain: int = 250
) -> GaussianMolecule:
    """Make up a molecule: a chain folded into ellipsoidal domains that touch, without symmetry.

    The chain is a persistent random walk of residues 3.8 Angstrom apart that turns back at the
    surface of its domain; the next domain grows from a random side of an earlier one. By
    default the molecule is about 150 Angstrom large.

    Parameters
    ----------
    seed : int
        Each gives another molecule.
    domains : int
        Their number.
    residues_per_domain : int
        Amino acids of each.

    Returns
    -------
    GaussianMolecule
        What `simulate` makes images of.
    """
    generator = np.random.default_rng(seed)
    # half-axes of a domain of the density of protein
    size = (3.0 * RESIDUE_VOLUME_ANGSTROM3 * residues_per_domain / (4.0 * np.pi)) ** (1.0 / 3.0)
    centres = np.zeros((1, 3))
    chains = []
    for domain in range(domains):
        if domain:
            centres = np.vstack([centres, _beside(centres, 1.8 * size, generator)])
        stretch = np.exp(generator.normal(0.0, 0.25, size=3))
        half_axes = size * stretch / np.cbrt(stretch.prod())
        chains.append(centres[-1] + _folded_chain(residues_per_domain, half_axes, generator))
    positions = np.concatenate(chains)
    weights = RESIDUE_WEIGHT * generator.uniform(0.5, 1.5, size=len(positions))
    sigmas = np.full(len(positions), RESIDUE_SIGMA_ANGSTROM)
    return GaussianMolecule(positions, weights, sigmas).centred()


def _beside(centres: np.ndarray, distance: float, generator: np.random.Generator) -> np.ndarray:
    """A point at `distance` from one of the centres and no nearer to any other."""
    while True:
        start = centres[generator.integers(len(centres))]
        point = start + distance * _direction(generator)
        if np.linalg.norm(centres - point, axis=1).min() > 0.999 * distance:
            return point


def _folded_chain(
    residues: int, half_axes: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    positions = np.empty((residues, 3))
    point, heading = np.zeros(3), _direction(generator)
    for i in range(residues):
        heading = heading + 0.8 * _direction(generator)
        if ((point / half_axes) ** 2).sum() > 1.0:
            heading = _direction(generator) - 1.5 * point / np.linalg.norm(point)
        heading /= np.linalg.norm(heading)
        point = point + RESIDUE_STEP_ANGSTROM * heading
        positions[i] = point
    return positions


def _direction(generator: np.random.Generator) -> np.ndarray:
    vector = generator.normal(size=3)
    return vector / np.linalg.norm(vector)
