"""The default recipe: exhaustive exploration, then Gauss-Newton refinement.

Explore: stochastic EM over an SO(3) x shift grid (as in Scheres 2012 and Punjani 2017, by
matrix products), several random starts. Refine: per-particle optimisation alternating with
the closed-form map, the second stage of CryoSPIN (Shekarforoush et al. 2024, section 4.2)
with Gauss-Newton steps for its gradient ones.
"""

from __future__ import annotations

from cryospin.explore.exhaustive import ExhaustiveSearch
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.refinement import AlternatingRefinement
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment
from cryospin.rotations.grid import OrientationGrid


def recipe() -> AbInitio:
    return AbInitio(
        starts=IndependentStarts(
            ExhaustiveSearch(), GlobalAssignment(OrientationGrid.of(4, 24)), tried_without=True
        ),
        refinement=AlternatingRefinement(),
    )
