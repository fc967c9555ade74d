"""Branch and bound over poses: a coarse grid of cells, those that cannot be excluded split.

Punjani et al. 2017 (Nature Methods 14:290, online methods, "branch and bound"), with the
subdivision of poses of cryoDRGN2 (Zhong et al. 2021, section 3.2). The loss within a radius is
the error e(c) of paper equation 3; what an image's best pose can have at most is found by a
dive, and a cell c goes where even its lower bound is above that:

    e_low(c) - D - z sqrt(2 D) + |x_high|^2 - P - z sqrt(2 P) > e_full(dive)

P bounds what frequencies beyond the level's radius may yet explain: for x = C Y + n with unit
noise, |x - C Y|^2 - |x|^2 = -|C Y|^2 - 2 Re<n, C Y>, of mean -|C Y|^2 and variance 2 |C Y|^2;
P is the largest |C Y|^2 of a sample of orientations. D bounds what the true pose loses by
standing for its cell's centre: the 95th percentile of |C (Y' - Y)|^2, Y' anywhere in the cell
of Y. z is `sigmas`. (Punjani's bound is the one with D = 0 and the factor 1/2 of his error.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import roma
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.explore.candidates import Candidates, Level, subdivided
from cryospin.explore.setting import Setting
from cryospin.fourier.disk import FourierDisk, moved
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import pose_losses, slice_volume
from cryospin.parallel import in_blocks_on
from cryospin.rotations.grid import OrientationGrid, view_half_turns
from cryospin.rotations.sampling import random_rotations

_SAMPLE = 64  # orientations from which P and D are taken
_INSIDE_CELL = 0.95
_BLOCK = 24


@dataclass(frozen=True)
class BoundedSearch:
    """sigmas: z above.

    most_candidates: cells kept per image where bounds keep more, at the first level; half as
        many at each one after, 4 at the least.
    detail: side of the finest cells, in turns that move the particle's rim by half a period of
        the finest frequency.
    """

    nside: int = 4
    in_plane: int = 24
    first_radius: float = 6.0
    sigmas: float = 3.0
    most_candidates: int = 16
    detail: float = 0.5

    @property
    def first_side_radians(self) -> float:
        return float(np.radians(OrientationGrid.of(self.nside, self.in_plane).spacing_degrees))

    def levels(self, setting: Setting, disk: FourierDisk) -> tuple[Level, ...]:
        """Sides are halved, and the radius grows as they do, until they fit the disk's.

        A turn by w moves the rim by w * support_radius * box pixels, and a period of radius k is
        box / k.
        """
        radius, support_radius = disk.radius, setting.support_radius
        side = self.first_side_radians
        step = self.first_step(setting.shift_range_pixel, disk.box)
        fits = self.detail / (2 * support_radius * radius)
        found = [Level(side, step, min(radius, self.first_radius))]
        while side > fits:
            side, step = side / 2, step / 2
            seen = 1.0 / (2 * support_radius * side)
            found.append(Level(side, step, min(radius, max(seen, found[-1].radius))))
        found[-1] = Level(side, step, radius)
        return tuple(found)

    def first_step(self, shift_range_pixel: float, box: int) -> float:
        return 2 * shift_range_pixel / self._shifts_per_axis(shift_range_pixel, box)

    def _shifts_per_axis(self, shift_range_pixel: float, box: int) -> int:
        """A quarter of a period of the first radius apart."""
        return max(1, int(np.ceil(2 * shift_range_pixel / (box / (4 * self.first_radius)))))

    def run(
        self,
        volume: Complex[Tensor, "z y x"],
        images: ImageBatch,
        setting: Setting,
        rng: np.random.Generator,
    ) -> Candidates:
        """Poses of every image that bounds do not exclude, at the finest level, with their losses
        on the images' disk (the full radius)."""
        problem, levels = _Problem(volume, images.contiguous()), self.levels(setting, images.disk)
        first = images.disk.prefix(levels[0].radius)
        rotations, shifts = self._grid(setting, images.disk.box, rng)
        cells = problem.best_of_grid(rotations, shifts, first, self.most_candidates)
        lowest = problem.dive(cells.best(len(images)), levels)
        for number, (parent, child) in enumerate(pairwise(levels)):
            slack = problem.slack(parent, self.sigmas, rng)
            kept = cells.select(cells.loss <= (lowest + slack)[cells.image])
            # the grid's best survive whatever the bound: there is nothing better to split
            alive = torch.zeros(len(images), dtype=torch.bool, device=images.device)
            alive[kept.image] = True
            cells = Candidates.joined(kept, cells.best(len(images)).select(~alive))
            most = max(4, self.most_candidates >> number)
            cells = cells.capped(most, len(images))
            cells = problem.scored(subdivided(cells, parent), child.radius)
        return cells

    def _grid(
        self, setting: Setting, box: int, rng: np.random.Generator
    ) -> tuple[Float[Tensor, "g 3 3"], Float[Tensor, "t 2"]]:
        """Every orientation of a freshly turned grid, and every shift."""
        device = setting.operators.device
        grid = OrientationGrid.of(self.nside, self.in_plane).to(device)
        grid = grid.turned(random_rotations(1, rng)[0].to(device))
        grid = grid.asymmetric_unit(setting.operators)
        count = self._shifts_per_axis(setting.shift_range_pixel, box)
        axis = torch.arange(count) - (count - 1) / 2
        step = self.first_step(setting.shift_range_pixel, box)
        shifts = torch.cartesian_prod(axis, axis) * step
        rotations = view_half_turns(device)[:, None] @ grid.base
        return rotations.reshape(-1, 3, 3), shifts.to(device)


@dataclass(frozen=True)
class _Problem:
    """Images against a map, at one full radius."""

    volume: Complex[Tensor, "z y x"]
    images: ImageBatch

    @property
    def disk(self) -> FourierDisk:
        return self.images.disk

    def best_of_grid(
        self,
        rotations: Float[Tensor, "g 3 3"],
        shifts: Float[Tensor, "t 2"],
        disk: FourierDisk,
        most: int,
    ) -> Candidates:
        """The `most` lowest losses of each image over the whole grid, by two matrix products."""
        slices = slice_volume(self.volume, rotations, disk)
        power = slices.abs().square()
        flat = torch.view_as_real(slices.contiguous()).flatten(1)
        within = self.images.prefix(disk.radius)
        images, ctf = within.coefficients, within.ctf
        count = min(most, len(rotations) * len(shifts))

        def on(rows: slice) -> tuple[Tensor, Tensor]:
            data = moved((images[rows] * ctf[rows])[:, None], -shifts, disk)
            inner = torch.view_as_real(data).flatten(2) @ flat.T
            norms = ctf[rows].square() @ power.T
            total = images[rows].abs().square().sum(dim=1)
            loss = norms[:, None] - 2 * inner + total[:, None, None]
            return torch.topk(loss.flatten(1), count, dim=1, largest=False)

        values, index = (
            torch.cat(part)
            for part in zip(*in_blocks_on(images.device, on, len(images), _BLOCK), strict=True)
        )
        shift, orientation = index // len(rotations), index % len(rotations)
        image = torch.arange(len(images), device=images.device).repeat_interleave(count)
        return Candidates(
            rotations[orientation.flatten()], shifts[shift.flatten()], image, values.flatten()
        )

    def scored(self, cells: Candidates, radius: float) -> Candidates:
        """The same poses with their losses within `radius`."""
        images = self.images.prefix(radius)
        loss = pose_losses(self.volume, images, cells.rotations, cells.shifts_pixel, cells.image)
        return cells.with_loss(loss)

    def dive(self, cells: Candidates, levels: tuple[Level, ...]) -> Float[Tensor, " b"]:
        """Upper bound of each image's least full loss: the best child of the best child ..."""
        for parent, child in pairwise(levels):
            cells = self.scored(subdivided(cells, parent), child.radius).best(len(self.images))
        return self.scored(cells, self.disk.radius).loss

    def slack(self, level: Level, sigmas: float, rng: np.random.Generator) -> Float[Tensor, " b"]:
        """D + z sqrt(2 D) + P + z sqrt(2 P) - |x_high|^2 per image: cells are excluded whose
        loss exceeds that of the dive by more."""
        low = self.disk.length_within(level.radius)
        device = self.images.device
        centres = random_rotations(_SAMPLE, rng).to(device)
        turns = torch.as_tensor(rng.uniform(-0.5, 0.5, (_SAMPLE, 3)) * level.side_radians).float()
        moves = torch.as_tensor(rng.uniform(-0.5, 0.5, (_SAMPLE, 2)) * level.side_pixel).float()
        turns, moves = turns.to(device), moves.to(device)
        slices = slice_volume(self.volume, centres, self.disk)
        near = slice_volume(self.volume, roma.rotvec_to_rotmat(turns) @ centres, self.disk)
        away = (moved(near, moves, self.disk) - slices)[:, :low].abs().square()
        power = self.images.ctf.square()
        within = torch.quantile(power[:, :low] @ away.T, _INSIDE_CELL, dim=1)
        beyond = (power[:, low:] @ slices[:, low:].abs().square().T).amax(dim=1)
        unseen = self.images.coefficients[:, low:].abs().square().sum(dim=1)
        return _likely(within, sigmas) + _likely(beyond, sigmas) - unseen


def _likely(gain: Tensor, sigmas: float) -> Tensor:
    """A gain of that mean, and of that many of its deviations by noise."""
    return gain + sigmas * (2 * gain).sqrt()
