"""CryoSPIN as published: an encoder with many heads explores, then poses are optimised directly.

Shekarforoush et al., NeurIPS 2024, whose numbers these are:

* encoder (section 4.1): VGG16-type backbone on a Gaussian pyramid at full box, M = 7 heads of
  512 and 256 units, rotations in S2S2 form (`explore.encoder`, `explore.heads`);
* loss: the least negative log-likelihood (Eq. 3) among the heads, the gradient going through
  the winner alone (Eq. 5);
* volume (section 4.3): Hartley coefficients as mantissa x exp(exponent) on a voxel grid (Eqs.
  7, 8; `volumes.hartley`);
* 7 epochs of it in batches of 64, Adam at 1e-4 for the encoder and 0.05 for the volume;
* the switch (section 4.2): each pose begins at the best head's (Eq. 6) and follows
  R <- exp(omega) R (Eq. 9; `refine.direct`) for 13 epochs, five pose updates and one of the
  volume per batch, Adam at 0.05 for poses and 0.02 for the volume.

For real data the paper takes 15 heads and 15 + 15 epochs: `cryospin-paper-real`.

Where it deliberately differs: the half-sets are solved independently; translations are inferred
(by the heads, then directly) where the published code takes another program's; images are
whitened, so that Eq. 3 is a plain sum of squares; the volume begins at 1 per cent of the
amplitude that the images' power gives each shell, which the paper leaves open; the final map is
the closed form at the final poses, not the network's volume. There is no search and no polish.
"""

from __future__ import annotations

from cryospin.explore.amortised import EncoderTraining
from cryospin.recipes.unrefined import unrefined
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.amortised import AmortisedTraining
from cryospin.refine.direct import DirectOptimisation


def recipe() -> AbInitio:
    """The paper's numbers for synthetic data."""
    return unrefined(
        AmortisedTraining(
            heads=7,
            encoder=EncoderTraining(epochs=7, batch=64, encoder_rate=1e-4, volume_rate=0.05),
            direct=DirectOptimisation(
                epochs=13, batch=64, pose_rate=0.05, volume_rate=0.02, pose_updates=5
            ),
        ),
        attempts=1,
    )
