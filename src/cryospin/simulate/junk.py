"""Images of what pickers take for particles: nothing, aggregates, edges, ice, pieces.

Each is drawn from (seed, particle index) alone, before the CTF, on the scale of the structures it
is mixed with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cryospin.optics import CtfParameters
from cryospin.particles.draws import generator_for
from cryospin.simulate.models import Molecule
from cryospin.simulate.molecule import PROTEIN_DENSITY
from cryospin.simulate.projection import GaussianMolecule
from cryospin.simulate.transfer import apply_ctf

KINDS = ("empty", "aggregate", "edge", "ice", "piece")
"""Equally many of each. empty: noise alone. aggregate: one to eight blobs of protein that touch,
of any size. edge: of a carbon film, with its grain. ice: a gradient of its thickness. piece: one
of the structures, so far from the center that some of it is out of the box."""

_POINTS_PER_BLOB = 80


def junk_kind(seed: int, index: int) -> str:
    """What a particle that shows no structure shows."""
    return KINDS[int(generator_for(seed, "junk kind", index).integers(len(KINDS)))]


def junk_image(
    molecules: Sequence[Molecule],
    ctf: CtfParameters,
    seed: int,
    index: int,
    box: int,
    pixel_size_angstrom: float,
) -> np.ndarray:
    """An image (d, d) float32, with the CTF of its only row.

    Made twice as wide and cut out, since what is beyond the box leaves its fringes inside.
    """
    rng = generator_for(seed, "junk", index)
    draw = {"aggregate": _aggregate, "edge": _edge, "ice": _ice, "piece": _piece}
    kind = junk_kind(seed, index)
    if kind == "empty":
        return np.zeros((box, box), dtype=np.float32)
    field = draw[kind](molecules, rng, box, pixel_size_angstrom).astype(np.float32)
    image = apply_ctf(torch.from_numpy(field)[None], ctf, pixel_size_angstrom)[0].numpy()
    window = slice(box // 2, box // 2 + box)
    return image[window, window]


def _aggregate(
    molecules: Sequence[Molecule], rng: np.random.Generator, box: int, pixel: float
) -> np.ndarray:
    """Balls as dense as protein, of 0.15 to 0.6 of a structure's radius."""
    size = _one_of(molecules, rng).radius_angstrom
    radii = size * rng.uniform(0.15, 0.6, size=int(rng.integers(1, 9)))
    centres = np.zeros((len(radii), 3))
    for i in range(1, len(radii)):
        beside = int(rng.integers(i))
        centres[i] = centres[beside] + 0.9 * (radii[i] + radii[beside]) * _directions(rng, 1)[0]
    blob = np.repeat(np.arange(len(radii)), _POINTS_PER_BLOB)
    depth = np.cbrt(rng.random(len(blob)))[:, None] * _directions(rng, len(blob))
    positions = centres[blob] - centres.mean(axis=0) + radii[blob, None] * depth
    mass = PROTEIN_DENSITY * 4.0 / 3.0 * np.pi * radii**3 / _POINTS_PER_BLOB
    cluster = GaussianMolecule(positions, mass[blob], 0.3 * radii[blob])
    shift = rng.uniform(-0.15, 0.15, size=(1, 2)) * box
    return cluster.project(np.eye(3)[None], shift, 2 * box, pixel)[0]


def _piece(
    molecules: Sequence[Molecule], rng: np.random.Generator, box: int, pixel: float
) -> np.ndarray:
    """A structure whose center is 0.3 of its radius within the box's edge, up to 0.5 beyond."""
    molecule = _one_of(molecules, rng)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    angle, beyond = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(-0.3, 0.5)
    direction = np.array([[np.cos(angle), np.sin(angle)]])
    edge = 0.5 * box + beyond * molecule.radius_angstrom / pixel
    shift = edge * direction / np.abs(direction).max()
    return molecule.project(rotation[None], shift, 2 * box, pixel)[0]


def _edge(
    molecules: Sequence[Molecule], rng: np.random.Generator, box: int, pixel: float
) -> np.ndarray:
    """A film as thick as half to twice a structure's radius, 10 % of it in grains."""
    film = rng.uniform(0.5, 2.0) * _slab(molecules, rng, pixel)
    along, _ = _turned_axes(rng, box)
    covered = 1.0 / (1.0 + np.exp(-(along - rng.uniform(-0.3, 0.3) * box) / rng.uniform(0.5, 2.0)))
    return film * covered * (1.0 + 0.1 * rng.normal(size=covered.shape))


def _ice(
    molecules: Sequence[Molecule], rng: np.random.Generator, box: int, pixel: float
) -> np.ndarray:
    """A slope of one to four structures' radii across the box, and a bow."""
    along, across = _turned_axes(rng, box)
    slope, bow = rng.uniform(1.0, 4.0), rng.normal(0.0, 1.0)
    return _slab(molecules, rng, pixel) * (slope * along / box + bow * (across / box) ** 2)


def _slab(molecules: Sequence[Molecule], rng: np.random.Generator, pixel: float) -> float:
    """Mass in a pixel of a layer of protein as thick as a structure's radius."""
    return float(PROTEIN_DENSITY * pixel**2 * _one_of(molecules, rng).radius_angstrom)


def _one_of(molecules: Sequence[Molecule], rng: np.random.Generator) -> Molecule:
    return molecules[int(rng.integers(len(molecules)))]


def _turned_axes(rng: np.random.Generator, box: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in pixels about the center along two axes at right angles, (2d, 2d)."""
    axis = np.arange(2 * box) - box
    angle = rng.uniform(0.0, 2.0 * np.pi)
    x, y = axis[None, :], axis[:, None]
    cosine, sine = np.cos(angle), np.sin(angle)
    return x * cosine + y * sine, y * cosine - x * sine


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
