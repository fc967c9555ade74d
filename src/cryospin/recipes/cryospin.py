"""CryoSPIN (Shekarforoush et al., NeurIPS 2024) made fast: the same two stages, other engines.

* M heads with S2S2 rotations (4.1): the same, M = 7; they infer translations too.
* VGG16 on the image at full box (4.1): fully connected layers on a Fourier crop
  (`explore.small_encoder`), each image turned in its plane by a new angle every time.
* Winner takes all (Eq. 5), gradient of the likelihood (Eq. 3) through the winner: the same, with
  the Gauss-Newton step of the winner's pose for its gradient (`explore.winner_search`).
* Volume a variable, mantissa x exp(exponent) (4.3, Eqs. 7, 8): a running closed form with
  forgetting, whose radius marches from 5 to 9 Fourier pixels.
* Switch after a fixed epoch (4.2): when held-out images have settled (`reconstruct.switching`).
* Poses from the best head (Eq. 6), then Adam on omega (Eq. 9), five updates a volume update: the
  best heads' poses and their mirror mates, by Gauss-Newton, the best kept; the map in closed form
  (`reconstruct.semi_amortised`).

* Heads that predict the class, too (outlook): heads compete in the maps of all classes
  (`mixture.winner_classes`, with `--classes`).

After it the refinement is the default recipe's; no orientation grid is searched to find the map.
`cryospin-paper` is the paper to the letter.
"""

from __future__ import annotations

from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.refinement import AlternatingRefinement
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.assign import GlobalAssignment
from cryospin.rotations.grid import OrientationGrid


def recipe() -> AbInitio:
    return AbInitio(
        starts=IndependentStarts(
            SemiAmortised(),
            # where a map is given to begin with, and for the refinement's second looks
            GlobalAssignment(OrientationGrid.of(4, 24)),
        ),
        refinement=AlternatingRefinement(),
    )
