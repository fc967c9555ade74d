"""CryoSPIN without its second stage: the encoder infers poses to the end.

The ablation of Shekarforoush et al. 2024 (Fig. 4): encoder (section 4.1), winner-takes-all loss
(Eq. 5) and explicit volume (Eqs. 7, 8) as in the recipe cryospin-paper, with its numbers, for
all 20 epochs; the pose of an image is its best head's (Eq. 6).

Where it deliberately differs from the paper: as cryospin-paper does.
"""

from __future__ import annotations

from cryospin.explore.amortised import EncoderTraining
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.amortised import AmortisedTraining
from cryospin.reconstruct.refinement import AlternatingRefinement
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment, PolishedHypotheses
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.rotations.grid import OrientationGrid


def recipe() -> AbInitio:
    return AbInitio(
        starts=IndependentStarts(
            search=AmortisedTraining(heads=7, encoder=EncoderTraining(epochs=20), direct=None),
            # used only where a map is given to begin with
            assignment=GlobalAssignment(OrientationGrid.of(4, 24), polish=GaussNewton(steps=0)),
            choice=PolishedHypotheses(polish=GaussNewton(steps=0)),
            attempts=1,
        ),
        refinement=AlternatingRefinement(most_rounds=0),
    )
