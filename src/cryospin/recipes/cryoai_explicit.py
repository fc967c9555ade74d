"""CryoAI with CryoSPIN's volume: what the implicit one costs, and what the heads gain.

The baseline of Shekarforoush et al. 2024 between the two methods: cryoAI's single pose and
symmetrised loss (Levy et al. 2022; two candidates per image, see the recipe cryoai)
with the explicit volume of CryoSPIN (Eqs. 7, 8) and its rates, 20 epochs in batches of 64.

Where it deliberately differs: half-sets solved independently; images whitened; translations
inferred; the final map is the closed form at the final poses.
"""

from __future__ import annotations

from cryospin.explore.amortised import EncoderTraining
from cryospin.recipes.unrefined import unrefined
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.amortised import AmortisedTraining


def recipe() -> AbInitio:
    return unrefined(
        AmortisedTraining(
            heads=1, encoder=EncoderTraining(epochs=20, symmetrised=True), direct=None
        ),
        attempts=1,
    )
