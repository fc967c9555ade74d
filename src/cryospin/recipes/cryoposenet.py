"""CryoPoseNet: an encoder with one pose per image, and nothing to hedge its bets.

Nashed et al., ICCV workshops 2021: an auto-encoder whose latent code is the pose and whose
decoder is the physics, with the volume as free parameters. One head, no augmentation: the loss
of an image is that of its only pose (CryoSPIN Eq. 3), so an image that starts in the wrong basin
stays there.

Where it deliberately differs: the backbone, the rotation's S2S2 form, the volume's
parametrisation (CryoSPIN Eqs. 7, 8; theirs are voxels in real space) and the 20 epochs in batches
of 64 are those of the other recipes, so that the number of candidates is all that is compared;
half-sets solved independently; images whitened; translations inferred; the final map is the
closed form at the final poses.
"""

from __future__ import annotations

from cryospin.explore.amortised import EncoderTraining
from cryospin.recipes.unrefined import unrefined
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.amortised import AmortisedTraining


def recipe() -> AbInitio:
    return unrefined(
        AmortisedTraining(heads=1, encoder=EncoderTraining(epochs=20), direct=None), attempts=1
    )
