"""One particle of a finished run against the run's own map: what `cryospin posterior` shows.

The map is that of the particle's own half-set, the one its pose was found in, filtered by the
FSC of the halves (C = S / (S + N) of one half: its Wiener filter) within the run's mask.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.errors import BadDataError
from cryospin.explore.view_posterior import (
    OneImage,
    ViewPosterior,
    peaks,
    posterior_near,
    posterior_over_sphere,
    square_of_shifts,
)
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.io.conventions import rotation_to_euler
from cryospin.io.formats import poses_of, read_particles_of_any_kind
from cryospin.io.mrc import read_map
from cryospin.io.run_folder import NOT_CONVERGED
from cryospin.kernels import pose_losses
from cryospin.particles.prepare import prepare_particles
from cryospin.poses import Assignment
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap, ParticleStack
from cryospin.volumes.gridded import map_to_volume
from cryospin.volumes.volume_shells import shells_of_volume

_LEAST_FSC = 0.143
_NOISE_SAMPLE = 300  # particles the noise is measured on, besides the one asked for
_PEAKS, _APART_DEGREES = 5, 12.0
_RUN = "give a folder that `cryospin reconstruct` wrote"


@dataclass(frozen=True)
class ParticlePosterior:
    """sphere, near: the log-posterior everywhere, and around the run's pose.

    row: 1-based, in the run's table. half: the half-set the particle is in; map_of: the file
    it was compared with. mates: view directions of the run's pose and its symmetry mates.
    pose_log: log-likelihood of the run's pose less that of the best polished pose; the
    others' are `best_log`, beside `best` (rotations, shifts in pixels).
    """

    uid: str
    row: int
    half: int
    map_of: str
    radius: float
    resolution_angstrom: float
    sphere: ViewPosterior
    near: ViewPosterior
    pose: Float[Tensor, "3 3"]
    pose_shift_pixel: Float[Tensor, " 2"]
    pose_log: float
    mates: Float[Tensor, "s 3"]
    best: Assignment
    best_log: Float[Tensor, " p"]


def particle_posterior(directory: Path, particle: str, nside: int = 12) -> ParticlePosterior:
    """The posterior of a particle, named by uid (`index@stack`) or 1-based row.

    Raises
    ------
    BadDataError: no run, no map, no such particle, images that are not where they were.
    """
    result, place = _run(directory)
    table = read_particles_of_any_kind(_present(place / "particles.star", _RUN))
    row = find_particle(table, particle)
    half = 1 if table.half_set is None else int(table.half_set[row])
    density, map_of, radius = _half_map(place, half)
    image = _image(result, table.uids[row], density, radius)
    operators = symmetry_group(str(result.get("symmetry", "C1"))).float()
    poses = poses_of(table)
    pose = poses.rotations[row].float()
    shift = (poses.shifts_angstrom[row] / table.pixel_size_angstrom).float()
    reach = _shift_range(result, table)
    sphere = posterior_over_sphere(image, square_of_shifts(shift, reach, 5), nside)
    near = posterior_near(image, pose, square_of_shifts(shift, min(1.5, reach), 5))
    best = _polished(image, sphere, operators, pose, shift)
    at_pose = pose_losses(image.volume, image.image, pose[None], shift[None])
    return ParticlePosterior(
        uid=table.uids[row],
        row=row + 1,
        half=half,
        map_of=map_of,
        radius=radius,
        resolution_angstrom=table.box * table.pixel_size_angstrom / radius,
        sphere=sphere,
        near=near,
        pose=pose,
        pose_shift_pixel=shift,
        pose_log=float(best.loss[0] - at_pose[0]),
        mates=(pose @ operators)[:, 2],
        best=best,
        best_log=best.loss[0] - best.loss,
    )


def angles_degrees(rotation: Float[Tensor, "3 3"]) -> list[float]:
    """RELION's rot, tilt and psi."""
    return rotation_to_euler(rotation).tolist()


def find_particle(stack: ParticleStack, particle: str) -> int:
    """Its row, 0-based. Raises BadDataError with the nearest names there are."""
    if particle.isdecimal():
        if 1 <= int(particle) <= len(stack):
            return int(particle) - 1
        fix = f"give a row from 1 to {len(stack)}, or a name like {stack.uids[0]}"
        raise BadDataError(f"no row {particle}", file=stack.source, fix=fix)
    number, at, name = particle.partition("@")
    wanted = f"{int(number):06d}@{name}" if at and number.isdecimal() else particle
    if wanted in stack.uids:
        return stack.uids.index(wanted)
    near = get_close_matches(wanted, stack.uids, n=3, cutoff=0.5) or stack.uids[:1]
    fix = f"the nearest of its {len(stack)} particles: {', '.join(near)}"
    raise BadDataError(f"no particle is called {particle!r}", file=stack.source, fix=fix)


def _run(directory: Path) -> tuple[dict[str, Any], Path]:
    """result.json and the folder with the maps: the run's own, or that of what failed."""
    home = directory.parent if directory.name == NOT_CONVERGED else directory
    path = _present(home / "result.json", _RUN)
    try:
        result = json.loads(path.read_text())
    except ValueError as error:
        raise BadDataError(f"not JSON: {error}", file=path, fix=_RUN) from None
    failed = home / NOT_CONVERGED
    return result, failed if (failed / "particles.star").is_file() else home


def _present(path: Path, fix: str) -> Path:
    if not path.is_file():
        raise BadDataError("no such file", file=path, fix=fix)
    return path


def _half_map(place: Path, half: int) -> tuple[DensityMap, str, float]:
    """The particle's half-map, filtered and masked; its file's name; the radius it holds to."""
    found = {n: place / f"half{n}.mrc" for n in (1, 2) if (place / f"half{n}.mrc").is_file()}
    if not found:
        fix = "the run's half-maps are what particles are compared with; run it again"
        raise BadDataError("the run has no map", file=place / f"half{half}.mrc", fix=fix)
    name = half if half in found else min(found)
    maps = {n: read_map(path) for n, path in found.items()}
    density = maps[name]
    mask_file = place / "mask.mrc"
    mask = read_map(mask_file).values if mask_file.is_file() else torch.ones_like(density.values)
    if len(maps) == 2:
        curve = fourier_shell_correlation(maps[1].values * mask, maps[2].values * mask)
        shells = ShellCurve.of_fsc(curve.float()).values.clamp(0, 1)
    else:
        shells = torch.ones(density.box // 2)
    below = torch.nonzero(shells < _LEAST_FSC).flatten()
    radius = float(below[0] if len(below) else len(shells)) - 1
    radius = min(max(radius, 3.0), density.box // 2 - 1)
    volume = _weighed(density.values * mask, shells, radius)
    return DensityMap(volume, density.pixel_size_angstrom), f"half{name}.mrc", radius


def _weighed(
    values: Float[Tensor, "d d d"], shells: Float[Tensor, " s"], radius: float
) -> Float[Tensor, "d d d"]:
    """A map with each shell up to `radius` times its weight, and nothing beyond."""
    box = values.shape[-1]
    axis = torch.fft.fftfreq(box) * box
    half = torch.arange(box // 2 + 1).float()
    distance = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + half**2).sqrt()
    weight = shells[distance.round().long().clamp_max(len(shells) - 1)] * (distance <= radius)
    return torch.fft.irfftn(torch.fft.rfftn(values) * weight, s=values.shape)


def _image(result: dict[str, Any], uid: str, density: DensityMap, radius: float) -> OneImage:
    """The particle's image, prepared as the run did it."""
    settings = result.get("settings", {})
    source = Path(str(settings.get("particles", "")))
    fix = "put the particle table and its stacks back where the run found them"
    stack = read_particles_of_any_kind(_present(source, fix))
    if uid not in stack.uids:
        raise BadDataError(f"particle {uid} is no longer in it", file=source, fix=fix)
    row = stack.uids.index(uid)
    _present(stack.files[stack.file_index[row]], fix)
    mine = np.flatnonzero(stack.optics_group == stack.optics_group[row])
    sample = mine[:: max(1, len(mine) // _NOISE_SAMPLE)]
    rows = np.concatenate([[row], sample[sample != row]])
    prepared = prepare_particles(
        stack.select(rows),
        max_resolution_angstrom=settings.get("max_resolution_angstrom"),
        mask_diameter_angstrom=result.get("particle", {}).get("mask_diameter_angstrom"),
    ).select(np.array([0]))
    image = prepared.images(radius)
    disk = image.disk
    volume = map_to_volume(density.values, stack.box, disk.radius)
    volume = volume * (shells_of_volume(volume.shape[-1] - 1) <= disk.radius + 1)
    return OneImage(volume, image)


def _shift_range(result: dict[str, Any], table: ParticleStack) -> float:
    """In pixels, as the run searched it."""
    angstrom = result.get("settings", {}).get("max_shift_angstrom")
    return 0.05 * table.box if angstrom is None else angstrom / table.pixel_size_angstrom


def _polished(
    image: OneImage,
    sphere: ViewPosterior,
    operators: Tensor,
    pose: Tensor,
    shift: Tensor,
) -> Assignment:
    """The sphere's separate peaks and the run's pose, each taken to its bottom, best first."""
    top = peaks(sphere, operators, _PEAKS, _APART_DEGREES)
    refined = GaussNewton(steps=8).refine(
        image.volume,
        image.image,
        torch.cat([pose[None], sphere.rotations[top]]),
        torch.cat([shift[None], sphere.shifts_pixel[top]]),
        torch.zeros(len(top) + 1, dtype=torch.long),
    )
    kept: list[int] = []
    for index in refined.loss.argsort().tolist():
        mates = refined.rotations[index] @ operators
        others = refined.rotations[kept]
        cosine = (torch.einsum("pij,sij->ps", others, mates).amax(dim=1) - 1) / 2 if kept else None
        if cosine is None or not bool((cosine > np.cos(np.radians(2.0))).any()):
            kept.append(index)
    return refined.select(torch.tensor(kept))
