"""CryoSPIN as published, with the paper's numbers for experimental data (EMPIAR-10028).

15 heads, 15 epochs of the encoder and 15 of direct optimisation; all else is `cryospin-paper`
(Shekarforoush et al., NeurIPS 2024, section 5).
"""

from __future__ import annotations

from cryospin.explore.amortised import EncoderTraining
from cryospin.recipes.unrefined import unrefined
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.amortised import AmortisedTraining
from cryospin.refine.direct import DirectOptimisation


def recipe() -> AbInitio:
    return unrefined(
        AmortisedTraining(
            heads=15, encoder=EncoderTraining(epochs=15), direct=DirectOptimisation(epochs=15)
        ),
        attempts=1,
    )
