"""What the same images give when everything is known: the mark methods are measured against.

Poses refined from the truth against the true map, and the map made from the true poses. Noise moves
the best pose of an image farther than that, past what refinement climbs over: so also the poses
that an exhaustive search in the true map finds, refined.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.bench.datasets import Dataset
from cryospin.evaluate.poses import LOST_DEGREES
from cryospin.evaluate.run import evaluate_run
from cryospin.evaluate.symmetry_axis import align_about_any_axis
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import shift_phases
from cryospin.io.atomic import atomic_path
from cryospin.io.mrc import read_map, write_map
from cryospin.io.outputs import Outputs, claimed
from cryospin.io.relion import read_particles, write_particles
from cryospin.kernels import slice_volume
from cryospin.particles.prepare import prepare_particles
from cryospin.particles.source import ParticleSource
from cryospin.poses import Assignment
from cryospin.recipes import find_recipe
from cryospin.reconstruct.refinement import unfiltered_map
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.types import DensityMap, ParticleStack
from cryospin.volumes.gridded import map_to_volume
from cryospin.volumes.masks import soft_mask

KEPT = "oracle.json"
_OUTPUTS = Outputs((KEPT, "map.mrc", "mask.mrc", "particles.star"))
_SEARCHED = 1000
_SEARCH_RADIUS = 20.0


@dataclass(frozen=True)
class Oracle:
    """Degrees, pixels, shares in [0, 1]; `map` as `evaluate.maps.map_summary` tells it.

    lost_in_search: beyond 10 degrees in the true map. searched_median_degrees: there, refined.
    """

    mean_degrees: float
    median_degrees: float
    beyond_10: float
    shift_rms_pixel: float
    lost_in_search: float
    searched_median_degrees: float
    map: dict[str, Any]


def oracle_of(dataset: Dataset, out: Path) -> Oracle:
    """The oracle of a data set, computed once and kept in `out`."""
    kept = out / KEPT
    if kept.exists():
        return Oracle(**json.loads(kept.read_text()))
    with claimed(out, _OUTPUTS):
        return _computed(dataset, out)


def _computed(dataset: Dataset, out: Path) -> Oracle:
    truth = read_particles(dataset.truth)
    particles = prepare_particles(truth)
    _write_true_pose_map(truth, particles, out)
    volume = _volume_of(dataset.true_map, truth, particles)
    errors, moved = _refined_errors(volume, truth, particles)
    searched, refined = _errors_of_search(
        volume, truth, particles, dataset.structure.symmetry, dataset.conditions.max_shift_pixel
    )
    oracle = Oracle(
        float(errors.mean()),
        float(errors.median()),
        _lost(errors),
        float(moved.square().mean().sqrt()),
        _lost(searched),
        float(refined.median()),
        evaluate_run(out, dataset.truth, dataset.true_map)["map"],
    )
    with atomic_path(out / KEPT) as temporary:
        temporary.write_text(json.dumps(asdict(oracle)))
    return oracle


def lost_in_true_map(table: Path, true_map: Path, symmetry: str, max_shift_pixel: float) -> float:
    """Share of the particles of a table with true poses that an exhaustive search in the true
    map leaves beyond 10 degrees."""
    truth = read_particles(table)
    particles = prepare_particles(truth)
    volume = _volume_of(true_map, truth, particles)
    searched, _ = _errors_of_search(volume, truth, particles, symmetry, max_shift_pixel)
    return _lost(searched)


def _lost(errors: Tensor) -> float:
    """Share beyond 10 degrees."""
    return float((errors > LOST_DEGREES).double().mean())


def _write_true_pose_map(truth: ParticleStack, particles: ParticleSource, out: Path) -> None:
    """A run's folder with the map of the true poses."""
    box, pixel = truth.box, truth.pixel_size_angstrom
    assert truth.poses is not None, "simulate writes the truth with poses"
    rotations = truth.poses.rotations.float()
    shifts = (truth.poses.shifts_angstrom / pixel).float()
    everyone = HalfSet(particles, Assignment.known(rotations, shifts))
    sums = sums_of(everyone, particles.disk.radius, torch.eye(3)[None])
    density = DensityMap(unfiltered_map(sums, particles.disk.radius, box, box), pixel)
    write_map(out / "map.mrc", density)
    write_map(out / "mask.mrc", soft_mask(density))
    half_set = np.arange(len(truth)) % 2 + 1  # wanted by the table, used by nothing
    write_particles(out / "particles.star", truth, truth.poses, half_set)


def scaled_truth(
    true_map: Path,
    rotations: Float[Tensor, "n 3 3"],
    shifts_pixel: Float[Tensor, "n 2"],
    particles: ParticleSource,
) -> Complex[Tensor, "z y x"]:
    """The true map's Fourier volume in the units of the whitened images, given their true poses."""
    disk = particles.disk
    volume = map_to_volume(read_map(true_map).values, disk.box, disk.radius)
    predicted = slice_volume(volume, rotations.float(), disk)
    images = particles.images()
    predicted *= images.ctf * shift_phases(shifts_pixel.float(), disk)
    scale = (images.coefficients * predicted.conj()).real.sum()
    return volume * (scale / predicted.abs().square().sum())


def _volume_of(
    true_map: Path, truth: ParticleStack, particles: ParticleSource
) -> Complex[Tensor, "z y x"]:
    assert truth.poses is not None
    shifts_pixel = truth.poses.shifts_angstrom / truth.pixel_size_angstrom
    return scaled_truth(true_map, truth.poses.rotations, shifts_pixel, particles)


def _refined_errors(
    volume: Tensor, truth: ParticleStack, particles: ParticleSource
) -> tuple[Tensor, Tensor]:
    """Degrees, and pixels, by which noise alone moves the true poses."""
    assert truth.poses is not None
    rotations = truth.poses.rotations.float()
    shifts = (truth.poses.shifts_angstrom / truth.pixel_size_angstrom).float()
    found = GaussNewton(steps=8).refine(volume, particles.images(), rotations, shifts)
    turned = roma.rotmat_geodesic_distance(found.rotations, rotations)
    return torch.rad2deg(turned), (found.shifts_pixel - shifts).norm(dim=1)


def _errors_of_search(
    volume: Tensor,
    truth: ParticleStack,
    particles: ParticleSource,
    symmetry: str,
    max_shift_pixel: float,
) -> tuple[Tensor, Tensor]:
    """Degrees from the truth, of some of the particles: as they are found, and then refined."""
    assert truth.poses is not None
    sample = np.arange(0, len(truth), max(1, len(truth) // _SEARCHED))
    radius = min(_SEARCH_RADIUS, particles.disk.radius)
    some = particles.select(sample)
    searched = find_recipe("exhaustive").starts.assignment.run(
        volume, some, radius, Setting(torch.eye(3)[None], max_shift_pixel)
    )
    found = searched.rotations, searched.shifts_pixel
    refined = GaussNewton(steps=8).refine(volume, some.images(), *found)
    true = truth.poses.rotations.float()[sample]
    first, second = (
        align_about_any_axis(each.rotations, true, symmetry).errors_degrees
        for each in (searched, refined)
    )
    return first, second
