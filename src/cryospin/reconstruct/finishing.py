"""From final poses to a result: the last maps, of images read once more, and their worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from cryospin.journal.ranks import led, of_halves
from cryospin.reconstruct.exploration_report import ExplorationReport
from cryospin.reconstruct.final_maps import final_maps
from cryospin.reconstruct.judgement import judge
from cryospin.reconstruct.measuring import measure
from cryospin.reconstruct.point_group import SymmetryFound
from cryospin.reconstruct.ready import Ready
from cryospin.reconstruct.refinement import Halves, RoundReport
from cryospin.reconstruct.result import Result
from cryospin.refine.halves import HalfSet, sums_of_batches
from cryospin.types import Poses
from cryospin.volumes.gridded import SliceSums


def finished(
    ready: Ready,
    halves: Halves,
    reports: list[RoundReport],
    exploration: ExplorationReport,
    found: SymmetryFound | None = None,
) -> Result:
    """reports: of the refinement's rounds. found: what was found of the symmetry, if it was
    looked for."""
    setting, request = ready.setting, ready.request
    first, second = of_halves(lambda number: unmasked_sums(ready, halves[number], number + 1))
    particles, contrast = halves[0].particles, request.either_contrast
    maps = led(lambda: final_maps((first, second), particles, setting, contrast))
    measures = measure(halves, maps, exploration, setting, request, found)
    poses = gathered_poses(halves, ready.half_set, ready.stack.pixel_size_angstrom)
    if measures.cross is not None:
        poses = believable(poses, measures.cross.believed)
    return Result(
        maps.density,
        maps.half1,
        maps.half2,
        maps.mask,
        poses,
        ready.half_set,
        maps.resolution,
        judge(measures),
        exploration,
        [vars(report) for report in reports],
        maps.turned,
        ready.size,
        request.symmetry,
        found,
    )


def believable(poses: Poses, believed: float) -> Poses:
    """No surer, on the average, than `CrossCheck.believed`: the few rivals that were polished leave
    a pose too much weight where thousands explain its image nearly as well."""
    mean = float(poses.confidence.mean())
    return replace(poses, confidence=poses.confidence * min(1.0, believed / max(mean, 1e-6)))


def unmasked_sums(ready: Ready, half: HalfSet, number: int) -> SliceSums:
    """The final map of a half is made from its images as they are, read once more."""
    preparation = ready.preparation(
        np.flatnonzero(ready.half_set == number),
        device=half.particles.device,
        masked=False,
        noise_power=half.particles.noise_power,
    )
    batches = preparation.in_blocks(lambda rows, images: (rows, images), ready.request.batch_size)
    return sums_of_batches(half, batches, preparation.disk.radius, ready.setting.operators)


def gathered_poses(halves: Halves, half_set: np.ndarray, pixel_size_angstrom: float) -> Poses:
    """The poses of both halves in the order of the stack."""
    count = len(half_set)
    poses = Poses(torch.empty(count, 3, 3), torch.empty(count, 2), torch.empty(count))
    for number, half in enumerate(halves, 1):
        rows = torch.as_tensor(np.flatnonzero(half_set == number))
        poses.rotations[rows] = half.rotations.cpu()
        poses.shifts_angstrom[rows] = half.shifts_pixel.cpu() * pixel_size_angstrom
        poses.confidence[rows] = half.confidence.cpu()
    return poses
