"""Common lines: the classical way to a first map, then the default's refinement.

Explore: the most alike lines of each pair of a few hundred images, votes of all third images
(Singer et al. 2010), orientations by spectral synchronisation (Singer and Shkolnisky 2011) with
re-weighting; shifts by least squares. Refine: as the default does. Beyond the papers: lines are
weighed by the CTF and the noise of each image, and no class averages are made.
"""

from __future__ import annotations

from cryospin.explore.pairwise_start import PairwiseStart
from cryospin.pairs.common_lines import CommonLineSolver
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.refinement import AlternatingRefinement
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment
from cryospin.rotations.grid import OrientationGrid


def recipe() -> AbInitio:
    return AbInitio(
        starts=IndependentStarts(
            PairwiseStart(CommonLineSolver()), GlobalAssignment(OrientationGrid.of(4, 24))
        ),
        refinement=AlternatingRefinement(),
    )
