"""What the published baselines share: the poses an explorer ends with are final.

Nothing is polished and no refinement follows. Whether the result can be believed is measured by
the verdict's own search (`reconstruct.cross_check`), which is the same for every recipe.
"""

from __future__ import annotations

from cryospin.explore.exploration import Explorer
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.refinement import AlternatingRefinement
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment, PolishedHypotheses
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.rotations.grid import OrientationGrid


def unrefined(search: Explorer, *, attempts: int) -> AbInitio:
    """`search` alone. From a map that is given, poses are the best points of a grid."""
    unpolished = GaussNewton(steps=0)
    return AbInitio(
        starts=IndependentStarts(
            search=search,
            assignment=GlobalAssignment(OrientationGrid.of(4, 24), polish=unpolished),
            choice=PolishedHypotheses(polish=unpolished),
            attempts=attempts,
        ),
        refinement=AlternatingRefinement(most_rounds=0),
    )
