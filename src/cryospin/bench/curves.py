"""A watched explorer against the truth: by epoch, the error and the map its poses would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.bench.datasets import Dataset
from cryospin.bench.watched import Watched
from cryospin.evaluate.poses import match_particles, shift_errors
from cryospin.evaluate.symmetry_axis import align_about_any_axis
from cryospin.fourier.fsc import fourier_shell_correlation, resolution_at
from cryospin.io.mrc import read_map
from cryospin.io.relion import read_particles
from cryospin.particles.prepare import prepare_particles
from cryospin.particles.source import ParticleSource
from cryospin.poses import Assignment
from cryospin.reconstruct.refinement import unfiltered_map
from cryospin.refine.halves import HalfSet, sums_of
from cryospin.rotations.align import RotationAlignment, mirror_rotations
from cryospin.types import Poses
from cryospin.volumes.masks import soft_mask


@dataclass(frozen=True)
class Curves:
    """A value per epoch. resolution_angstrom: FSC 0.5 to the true map, NaN if always below."""

    seconds: np.ndarray
    stages: tuple[str, ...]
    mean_degrees: np.ndarray
    median_degrees: np.ndarray
    resolution_angstrom: np.ndarray


@dataclass(frozen=True)
class Heads:
    """What each head says of each image at the end, in the truth's frame.

    share: of the images each head wins. directions: (n, m, 3) unit view vectors, the third row
    of each candidate rotation. winners: (n,). errors_degrees: (n, m), of every candidate.
    """

    share: np.ndarray
    directions: np.ndarray
    true_directions: np.ndarray
    winners: np.ndarray
    errors_degrees: np.ndarray


@dataclass(frozen=True)
class Truth:
    """True poses (shifts in pixels) in the order of the watched particles, and their images."""

    dataset: Dataset
    poses: Poses
    particles: ParticleSource

    @classmethod
    def of(cls, dataset: Dataset, uids: Sequence[str]) -> Truth:
        stack, truth = read_particles(dataset.particles), read_particles(dataset.truth)
        stack, truth = match_particles(stack, truth)
        rows = {uid: row for row, uid in enumerate(stack.uids)}
        index = np.array([rows[uid] for uid in uids])
        stack, truth = stack.select(index), truth.select(index)
        assert truth.poses is not None, "simulate writes the truth with poses"
        pixel = truth.pixel_size_angstrom
        poses = Poses(
            truth.poses.rotations, truth.poses.shifts_angstrom / pixel, truth.poses.confidence
        )
        return cls(dataset, poses, prepare_particles(stack))

    def aligned(
        self, rotations: Float[Tensor, "n 3 3"], symmetry: str | None = None
    ) -> RotationAlignment:
        """symmetry: default the structure's."""
        symmetry = symmetry or self.dataset.structure.symmetry
        return align_about_any_axis(rotations.double(), self.poses.rotations.double(), symmetry)

    def resolution_angstrom(
        self,
        found: Float[Tensor, "n 3 3"],
        shifts_pixel: Float[Tensor, "n 2"],
        frame: RotationAlignment,
    ) -> float:
        """FSC 0.5 to the true map of the map these poses give; NaN where it is always below.

        No map is searched for: the poses' own best frame is the map's.
        """
        placed = in_frame(found, frame)
        box, pixel = self.particles.disk.box, self.particles.pixel_size_angstrom
        ones = torch.ones(len(found))
        errors = torch.rad2deg(roma.rotmat_geodesic_distance(placed, self.poses.rotations.double()))
        estimated = Poses(found.double(), shifts_pixel.double(), ones)
        origin = shift_errors(estimated, self.poses, errors).origin_angstrom  # pixels here
        shifts = shifts_pixel.double() - found[:, :2].double() @ origin
        half = HalfSet(self.particles, Assignment.known(placed.float(), shifts.float()))
        radius = self.particles.disk.radius
        sums = sums_of(half, radius, torch.eye(3)[None])
        density = unfiltered_map(sums, radius, box, box)
        truth = read_map(self.dataset.true_map)
        mask = soft_mask(truth).values
        curve = fourier_shell_correlation(density * mask, truth.values * mask)
        crossing = resolution_at(curve, 0.5, box, pixel)
        return float("nan") if crossing is None else crossing


def in_frame(
    rotations: Float[Tensor, "*n 3 3"], frame: RotationAlignment
) -> Float[Tensor, "*n 3 3"]:
    """Poses in the truth's frame and hand. Mates of a symmetric particle stay mates: the true
    map looks the same to them."""
    hand = mirror_rotations(rotations.double()) if frame.flipped else rotations.double()
    return hand @ frame.global_rotation.T


def curves_of(watched: Watched, truth: Truth) -> Curves:
    """Every epoch's poses aligned and scored anew."""
    mean, median, resolution = [], [], []
    for rotations, shifts in zip(watched.rotations, watched.shifts_pixel, strict=True):
        frame = truth.aligned(rotations, "C1")
        errors = frame.errors_degrees
        if truth.dataset.structure.symmetry != "C1":
            errors = truth.aligned(rotations).errors_degrees
        mean.append(float(errors.mean()))
        median.append(float(errors.median()))
        resolution.append(truth.resolution_angstrom(rotations, shifts, frame))
    return Curves(
        watched.seconds, watched.stages, np.array(mean), np.array(median), np.array(resolution)
    )


def heads_of(watched: Watched, truth: Truth) -> Heads | None:
    """None where the explorer handed on no candidates.

    The frame is that of the last epoch with heads; a candidate's error is its angle to the
    true pose there, not modulo symmetry: heads are told apart by where on the sphere they look.
    """
    if watched.candidates is None:
        return None
    with_heads = np.flatnonzero(np.isfinite(watched.usage).any(axis=1))
    epoch = int(with_heads[-1]) if len(with_heads) else -1
    # what is handed on may begin with the pose each particle ended at, which is no head's
    chosen, candidates = watched.rotations[epoch], watched.candidates.double()
    candidates = candidates[:, -watched.usage.shape[1] :]
    apart = roma.rotmat_geodesic_distance(candidates, chosen.double()[:, None])
    winners = apart.argmin(dim=1)
    placed = in_frame(candidates, truth.aligned(chosen, "C1"))
    true = truth.poses.rotations.double()
    errors = torch.rad2deg(roma.rotmat_geodesic_distance(placed, true[:, None]))
    share = np.bincount(winners.numpy(), minlength=candidates.shape[1]) / len(winners)
    return Heads(
        share, placed[:, :, 2].numpy(), true[:, 2].numpy(), winners.numpy(), errors.numpy()
    )
