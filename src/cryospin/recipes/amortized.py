"""CryoSPIN without its second stage: the encoder infers poses to the end.

The ablation of Shekarforoush et al. 2024 (Fig. 4): encoder (section 4.1), winner-takes-all loss
(Eq. 5) and explicit volume (Eqs. 7, 8) as in the recipe cryospin-paper, with its numbers, for
all 20 epochs; the pose of an image is its best head's (Eq. 6).

Where it deliberately differs from the paper: as cryospin-paper does.
"""

from __future__ import annotations

from cryospin.explore.amortised import EncoderTraining
from cryospin.recipes.unrefined import unrefined
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.amortised import AmortisedTraining


def recipe() -> AbInitio:
    return unrefined(
        AmortisedTraining(heads=7, encoder=EncoderTraining(epochs=20), direct=None), attempts=1
    )
