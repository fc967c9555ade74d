"""A search for classes that is done in a second, of phantoms of a few blobs."""

from __future__ import annotations

import pytest

from cryospin.explore import grid_step
from cryospin.explore.patience import Patience
from cryospin.mixture.class_search import ClassSearch
from cryospin.mixture.joint import PatientClasses
from cryospin.mixture.split import ClassSplit
from cryospin.refine.assign import GlobalAssignment
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.rotations.grid import OrientationGrid

GRID = OrientationGrid.of(2, 12)
ASSIGNMENT = GlobalAssignment(GRID, hypotheses=2, shifts_per_axis=2, polish=GaussNewton(steps=4))
METHOD = ClassSearch(
    split=ClassSplit(radii=(6.0,), iterations=8, starts=1),
    joint=PatientClasses(
        Patience(
            below_nats=1e9,
            march_times_nats=0.0,
            shortest_march=6,
            held=1.0,
            first_images_times_nats=0.0,
            fewest_images=100,
            first_radius=4.0,
            cycle=2,
        ),
        radius=6.0,
    ),
    radius=7.0,
    rounds=2,
    fewest=1000,
)


class SmallGrids:
    """Coarser than a search needs, but for phantoms of a few blobs."""

    @staticmethod
    def of(nside: int, in_plane: int) -> OrientationGrid:
        return GRID


def use_small_grids(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(grid_step, "OrientationGrid", SmallGrids)
