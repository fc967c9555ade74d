"""Learned pairwise relations: as recipe `common-lines`, with a trained network for the lines.

Explore: the probability of each common line and tilt of each pair of a few hundred images, from
a network trained on other molecules (`cryospin pairs train`); votes, spectral synchronisation,
re-weighting. Refine: as the default does. The question is that of Banjac et al. 2021; the
relation is another one, see docs/pairs.md.
"""

from __future__ import annotations

from cryospin.explore.pairwise_start import PairwiseStart
from cryospin.pairs.learned import LearnedSolver
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.refinement import AlternatingRefinement
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment
from cryospin.rotations.grid import OrientationGrid


def recipe() -> AbInitio:
    return AbInitio(
        starts=IndependentStarts(
            PairwiseStart(LearnedSolver()), GlobalAssignment(OrientationGrid.of(4, 24))
        ),
        refinement=AlternatingRefinement(),
    )
