"""How well the particle's diameter is found, over structures, box sizes and neighbours.

    python benchmarks/diameter.py --models DIR --structures 6vxx 2cg9 ... --images 1500 --snr 0.1

The truth is the diameter of the sphere about the centre of mass that holds 98 % of the mass. It
fills 40, 60 or 80 % of the box. Crowded: up to nine neighbours are dropped at random within two
boxes and kept where they are 0.75 to 1.1 diameters or more from all others. Defoci are drawn
between 0.5 and 3 um, shifts to 3 pixels. Found over true: asked is 0.9 to 1.15. A Markdown row
per structure; the last line counts.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from cryospin.bench.structures import model_file
from cryospin.io.mrc import StackWriter
from cryospin.io.relion import read_particles, write_new_particles
from cryospin.optics import Optics
from cryospin.particles.diameter import particle_size
from cryospin.simulate.models import read_model
from cryospin.simulate.noise import draw_noise
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.projection import GaussianMolecule
from cryospin.simulate.transfer import apply_ctf, draw_ctf

PADDINGS = (0.4, 0.6, 0.8)
MAX_SHIFT = 3.0
LOWEST, HIGHEST = 0.9, 1.15
BATCH = 100


def main() -> None:
    options = arguments()
    print("| structure | " + " | ".join(f"{fills:.0%} of the box" for fills in PADDINGS) + " |")
    print("|---" * (1 + len(PADDINGS)) + "|")
    ratios: list[float] = []
    for name in options.structures:
        model = model_file(name, options.models)
        cells = []
        for fills in PADDINGS:
            found = [one(model, fills, crowded, options) for crowded in (False, True)]
            cells.append(", ".join(f"{ratio:.2f}" for ratio in found))
            ratios += found
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    good = sum(LOWEST <= ratio <= HIGHEST for ratio in ratios)
    print(f"\nfound over true, alone and crowded: {good} of {len(ratios)} within", LOWEST, HIGHEST)


def one(model: Path, fills: float, crowded: bool, options: argparse.Namespace) -> float:
    """Found over true diameter; 0 where none was found."""
    molecule = read_model(model, 4.0)
    assert isinstance(molecule, GaussianMolecule)
    radius = radius_of_98_percent(molecule)
    box, count = options.box, options.images
    pixel = 2 * radius / (fills * box)
    molecule = read_model(model, pixel)
    assert isinstance(molecule, GaussianMolecule)
    generator = np.random.default_rng(options.seed)
    poses = draw_poses(
        count, max_shift_pixel=MAX_SHIFT, pixel_size_angstrom=pixel, seed=options.seed
    )
    rotations, shifts = poses.rotations.numpy(), poses.shifts_angstrom.numpy() / pixel
    ctf = draw_ctf(count, seed=options.seed)
    alone, seen = np.empty((count, box, box), np.float32), np.empty((count, box, box), np.float32)
    inner = slice(box // 2, box // 2 + box)
    for first in range(0, count, BATCH):
        rows = slice(first, min(first + BATCH, count))
        wide = molecule.project(rotations[rows], shifts[rows], 2 * box, pixel)
        transfer = ctf.select(rows)
        for target, add in ((alone, False), (seen, crowded)):
            if add:
                for index in range(len(wide)):
                    places = neighbours(generator, fills * box, box)
                    views = generator.integers(count, size=len(places))
                    if len(places):
                        wide[index] += molecule.project(
                            rotations[views], places, 2 * box, pixel
                        ).sum(axis=0)
            target[rows] = apply_ctf(torch.from_numpy(wide), transfer, pixel)[:, inner, inner]
    sigma = float(np.sqrt(alone.var(axis=(1, 2)).mean() / options.snr))
    noise = draw_noise(options.seed, np.arange(count), box, 0.0).numpy()
    with tempfile.TemporaryDirectory() as folder:
        with StackWriter(Path(folder) / "p.mrcs", box, pixel, count) as stack:
            stack.append(seen + np.float32(sigma) * noise)
        names = [f"{i + 1:06d}@p.mrcs" for i in range(count)]
        optics = (Optics("one", pixel, 300.0, 2.7, 0.1),)
        table = Path(folder) / "p.star"
        write_new_particles(table, names, optics, box, np.zeros(count, dtype=int), ctf)
        found = particle_size(read_particles(table), options.seed, MAX_SHIFT).diameter_angstrom
    return 0.0 if found is None else found / (2 * radius)


def neighbours(generator: np.random.Generator, diameter: float, box: int) -> np.ndarray:
    """Places (m, 2) in pixels from the centre, none nearer to another than it can be."""
    placed = [np.zeros(2)]
    for _ in range(generator.poisson(9)):
        place = generator.uniform(-box, box, 2)
        apart = generator.uniform(0.75, 1.1) * diameter
        if all(np.hypot(*(place - other)) > apart for other in placed):
            placed.append(place)
    return np.array(placed[1:]).reshape(-1, 2)


def radius_of_98_percent(molecule: GaussianMolecule) -> float:
    distance = np.linalg.norm(molecule.positions_angstrom, axis=1)
    order = np.argsort(distance)
    mass = np.cumsum(molecule.weights[order])
    return float(distance[order][np.searchsorted(mass, 0.98 * mass[-1])])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--structures", nargs="+", required=True)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
