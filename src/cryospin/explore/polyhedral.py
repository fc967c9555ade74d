"""Random starts for noisy images of a particle with the symmetry of a polyhedron (T, O, I).

At low frequencies such a particle is a ball or a shell, whatever its orientation: images must be
compared further out than those of others, and there the grid must be fine and the shifts right.
The ball itself gives the shifts, in a short search at low frequencies; the group leaves a small
part of the grid. Most random starts end in a wrong map that has the group;
evidence tells which do, so several are made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.explore.exploration import Exploration, ExplorerProgress, Look
from cryospin.explore.grid_step import GridStep
from cryospin.explore.patience import Climb, Patience, PatientSearch
from cryospin.explore.posterior import best_hypotheses
from cryospin.explore.setting import Setting
from cryospin.journal.journal import Journal
from cryospin.kernels import slice_volume
from cryospin.particles.source import ParticleSource
from cryospin.poses import PoseHypotheses
from cryospin.rotations.grid import OrientationGrid

_BATCH = 250


def polyhedral(operators: Float[Tensor, "s 3 3"]) -> bool:
    """Whether a group turns an axis evenly to all sides, as those of T, O and I do: a particle
    that has it is a ball at low frequencies (no harmonic of degree 2 is left)."""
    axes = operators[:, :, 2]
    return torch.allclose(axes.T @ axes / len(axes), torch.eye(3).to(axes) / 3, atol=1e-4)


@dataclass(frozen=True)
class PolyhedralSearch:
    """Hyper-parameters; radii in Fourier pixels.

    centring: the short search, out to `centring_radius`; then images are centred on the best of
        `centring_shifts` shifts per axis, and searched over `shift_range` pixels about it.
    patience: of each of the `starts`, on a grid of `nside`. It is sharper than the likelihood:
        at its own temperature EM makes a ball of a map that was right.
    hypotheses: poses of each image in the best start's map.
    """

    starts: int = 8
    centring: Patience = Patience(first_radius=6.0, held=1.0)
    centring_radius: float = 9.0
    centring_shifts: int = 7
    shift_range: float = 1.8
    patience: Patience = Patience(first_radius=8.0, held=1.0, temperature=0.4)
    last_radius: float = 16.0
    nside: int = 8
    hypotheses: int = 4

    def run(
        self,
        particles: ParticleSource,
        setting: Setting,
        nats: float,
        progress: ExplorerProgress,
        journal: Journal,
    ) -> Exploration:
        """nats: information an image carries."""
        search = self._search(particles, setting, nats, progress, journal)
        scores, best = [], None
        total = self.starts * search.most_iterations
        for start in range(self.starts):
            seed = search.step.setting.seed + 100 * start
            one = replace(search, step=_seeded(search.step, seed))
            told = partial(_told, progress, start, self.starts, search.most_iterations, total)
            climb = one.run(told, journal.part(f"start{start + 1}"))
            scores.append(climb.score())
            if best is None or climb.score() > best.score():
                best = climb
        assert best is not None, "there is at least one start"
        return Exploration(
            best.sums[0],
            search.step.map.radius,
            tuple(mean for mean, _ in scores),
            best.score()[1],
            self._hypotheses(search.step, best),
            rising=best.rising,
        )

    def _search(
        self,
        particles: ParticleSource,
        setting: Setting,
        nats: float,
        progress: ExplorerProgress,
        journal: Journal,
    ) -> PatientSearch:
        """On centred images."""
        radius = min(self.last_radius, particles.disk.radius)
        centres = journal.once("centres", lambda: self._centres(particles, setting, nats, progress))
        grid = OrientationGrid.of(self.nside, 6 * self.nside).to(particles.device)
        near = replace(setting, shift_range_pixel=min(self.shift_range, setting.shift_range_pixel))
        step = GridStep.of(particles, near, 3, radius, fine_from=radius)
        return PatientSearch(
            self.patience, replace(step, coarse=grid, fine=grid, centres=centres), nats
        )

    def _centres(
        self, particles: ParticleSource, setting: Setting, nats: float, progress: ExplorerProgress
    ) -> Float[Tensor, "n 2"]:
        """Where in its image each particle is: pixels."""
        radius = min(self.centring_radius, particles.disk.radius)
        step = GridStep.of(particles, setting, 5, radius, fine_from=radius + 1)
        search = PatientSearch(self.centring, step, nats)
        total = search.most_iterations
        climb = search.run(lambda done, look: progress("centring", done, total, look))
        shifts = step.shifts(self.centring_shifts)
        return self._peaks(step, climb, step.coarse, shifts, 1).shifts_pixel[:, 0]

    def _hypotheses(self, step: GridStep, climb: Climb) -> PoseHypotheses:
        """Of all images, where they are in their boxes."""
        found = self._peaks(step, climb, step.fine, step.shifts(), self.hypotheses)
        assert step.centres is not None
        return PoseHypotheses(found.rotations, found.shifts_pixel + step.centres[:, None])

    def _peaks(
        self,
        step: GridStep,
        climb: Climb,
        grid: OrientationGrid,
        shifts: Float[Tensor, "t 2"],
        hypotheses: int,
    ) -> PoseHypotheses:
        radius = step.map.radius
        volume = step.map.volume(climb.sums[0], radius)
        grid = grid.asymmetric_unit(step.setting.operators)
        slices = slice_volume(volume, grid.base, step.particles.disk.prefix(radius))
        found = []
        for rows in torch.arange(len(step.particles), device=volume.device).split(_BATCH):
            images = step.images(rows, radius)
            found.append(best_hypotheses(grid, slices, images, shifts, hypotheses))
        return PoseHypotheses(
            torch.cat([each.rotations for each in found]),
            torch.cat([each.shifts_pixel for each in found]),
        )


def _seeded(step: GridStep, seed: int) -> GridStep:
    return replace(step, setting=replace(step.setting, seed=seed))


def _told(
    progress: ExplorerProgress,
    start: int,
    starts: int,
    most: int,
    total: int,
    done: int,
    look: Look,
) -> None:
    progress(f"start {start + 1} of {starts}", start * most + done, total, look)
