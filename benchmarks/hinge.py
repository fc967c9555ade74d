"""A Fab that turns about its hinge, and how well `cryospin variability` finds the angle.

    python benchmarks/hinge.py make 1igy.cif.gz hinge --particles 10000 --snr 0.05 --degrees 360
    python benchmarks/hinge.py truth hinge at_truth
    cryospin variability at_truth
    python benchmarks/hinge.py score hinge at_truth/variability

`make` draws each particle's conformation from 100 steps over `--degrees`: of PDB 1IGY, light chain
A and heavy chain B up to residue 226 turn about the line through the heavy chain's residues 218
and 228. `truth` writes a run folder at the true poses; `cryospin reconstruct` makes one at its
own. `score` prints the correlation of the angle's cosine and sine, and of the angle itself, with
the best linear combination of the first two coordinates.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import gemmi
import numpy as np
import roma
import torch

from cryospin.io.formats import poses_of, read_particles_of_any_kind
from cryospin.io.mrc import StackWriter, write_map
from cryospin.io.relion import write_new_particles
from cryospin.io.table_writer import write_table
from cryospin.optics import Optics
from cryospin.particles.prepare import prepare_particles
from cryospin.poses import Assignment
from cryospin.reconstruct.final_maps import both_together
from cryospin.reconstruct.refinement import half_set_fsc, unfiltered_map
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.simulate.atoms import gaussians
from cryospin.simulate.noise import draw_noise
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.projection import GaussianMolecule
from cryospin.simulate.transfer import apply_ctf, draw_ctf
from cryospin.types import DensityMap
from cryospin.volumes.gridded import spherical_support
from cryospin.volumes.masks import soft_mask
from cryospin.volumes.resolution import half_map_resolution

STEPS, BOX, PIXEL, DIAMETER = 100, 64, 4.0, 160.0


class Hinged:
    """1IGY, one Fab of which turns."""

    def __init__(self, path: Path) -> None:
        structure = gemmi.read_structure(str(path))
        structure.setup_entities()
        structure.remove_alternative_conformations()
        structure.remove_hydrogens()
        structure.remove_waters()
        named = [(chain.name, r) for chain in structure[0] for r in chain if len(r)]
        whole = gaussians([residue for _, residue in named], per_residue=True)
        self.molecule = whole.centred()
        centre = whole.positions_angstrom[0] - self.molecule.positions_angstrom[0]
        alphas = {
            residue.seqid.num: np.array(atom.pos.tolist()) - centre
            for residue in structure[0]["B"]
            for atom in residue
            if atom.name == "CA"
        }
        self.joint, line = alphas[223], alphas[228] - alphas[218]
        self.axis = line / np.linalg.norm(line)
        self.moving = np.array(
            [name == "A" or (name == "B" and r.seqid.num <= 226) for name, r in named]
        )

    def at(self, angle: float) -> GaussianMolecule:
        turn = roma.rotvec_to_rotmat(torch.as_tensor(self.axis * angle)).numpy()
        places = self.molecule.positions_angstrom.copy()
        places[self.moving] = (places[self.moving] - self.joint) @ turn.T + self.joint
        return GaussianMolecule(places, self.molecule.weights, self.molecule.sigmas_angstrom)


def make(model: Path, out: Path, count: int, snr: float, degrees: float, seed: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    hinged, rng = Hinged(model), np.random.default_rng(seed)
    angles = np.radians(degrees) * (rng.integers(0, STEPS, count) / STEPS - 0.5)
    poses = draw_poses(count, max_shift_pixel=2.0, pixel_size_angstrom=PIXEL, seed=seed)
    ctf = draw_ctf(count, seed)
    images = np.empty((count, BOX, BOX), np.float32)
    for angle in np.unique(angles):
        rows = np.flatnonzero(angles == angle)
        shifts = poses.shifts_angstrom.numpy()[rows] / PIXEL
        made = hinged.at(angle).project(poses.rotations.numpy()[rows], shifts, BOX, PIXEL)
        chosen = ctf.select(torch.as_tensor(rows))
        images[rows] = apply_ctf(torch.from_numpy(made), chosen, PIXEL).numpy()
    sigma = np.sqrt(images.var(axis=(1, 2)).mean() / snr)
    with StackWriter(out / "particles.mrcs", BOX, PIXEL, count) as stack:
        stack.append(images + sigma * draw_noise(seed, np.arange(count), BOX, 0.0).numpy())
    names = [f"{number:06d}@particles.mrcs" for number in range(1, count + 1)]
    table = names, (Optics("one", PIXEL, 300.0, 2.7, 0.1),), BOX, np.zeros(count, int), ctf
    write_new_particles(out / "particles.star", *table)
    write_new_particles(out / "truth.star", *table, poses)
    np.save(out / "angles.npy", angles)


def truth(data: Path, out: Path) -> None:
    """A run folder as `cryospin reconstruct` leaves one, of the true poses."""
    out.mkdir(parents=True, exist_ok=True)
    stack = read_particles_of_any_kind(data / "truth.star")
    poses, pixel, box = poses_of(stack), stack.pixel_size_angstrom, stack.box
    half_set = np.random.default_rng(0).permutation(len(stack)) % 2 + 1
    sums, c1 = [], torch.eye(3)[None]
    for number in (1, 2):
        rows = np.flatnonzero(half_set == number)
        particles = prepare_particles(stack.select(rows), masked=False)
        own = poses.select(torch.as_tensor(rows))
        shifts = (own.shifts_angstrom / pixel).float()
        half = HalfSet(particles, Assignment.known(own.rotations.float(), shifts))
        sums.append(sums_of(half, particles.disk.radius, c1))
    both, radius = (sums[0], sums[1]), particles.disk.radius
    support = spherical_support(box, 0.5 * DIAMETER / pixel, 4.0)
    curve = half_set_fsc(both, radius, box, support)
    density = DensityMap(both_together(both, curve, radius, box), pixel)
    halves = [DensityMap(unfiltered_map(each, radius, box, box), pixel) for each in both]
    mask = soft_mask(density)
    maps = {"map": density, "half1": halves[0], "half2": halves[1], "mask": mask}
    for name, values in maps.items():
        write_map(out / f"{name}.mrc", values)
    write_table(out / "particles.star", stack, "relion-3.1", poses, half_set)
    found = half_map_resolution(halves[0], halves[1], mask).resolution_0143_angstrom
    told = {
        "verdict": "converged",
        "resolution_angstrom": {"fsc_0.143": found},
        "particle": {"mask_diameter_angstrom": 1.15 * DIAMETER},
        "settings": {"particles": str(data / "truth.star")},
    }
    (out / "result.json").write_text(json.dumps(told))


def score(data: Path, analysis: Path) -> None:
    with open(analysis / "coordinates.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    angles = np.load(data / "angles.npy")[[int(row["image"].split("@")[0]) - 1 for row in rows]]
    along = np.array([[1.0, float(row["z1"]), float(row["z2"])] for row in rows])
    for name, wanted in (("cos", np.cos(angles)), ("sin", np.sin(angles)), ("angle", angles)):
        fitted = along @ np.linalg.lstsq(along, wanted, rcond=None)[0]
        print(f"{name}: {np.corrcoef(fitted, wanted)[0, 1]:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("make", "truth", "score"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--snr", type=float, default=0.05)
    parser.add_argument("--degrees", type=float, default=360.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.what == "make":
        of = asked.particles, asked.snr, asked.degrees, asked.seed
        make(asked.source, asked.target, *of)
    else:
        {"truth": truth, "score": score}[asked.what](asked.source, asked.target)


if __name__ == "__main__":
    main()
