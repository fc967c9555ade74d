"""CryoAI: one head, the half-turned image beside the image, and a network for a volume.

Levy et al., ECCV 2022:

* encoder: VGG16-type backbone on a Gaussian pyramid, one pose in S2S2 form;
* symmetrised loss: the image turned by pi in its plane is encoded too, and the
  smaller of the two losses counts. Turned back, that is a second candidate of the same image
  with the same likelihood, hence winner takes all between two (`explore.amortised.candidates`);
* implicit volume: a coordinate network in the Hartley domain with mantissa and
  exponent as outputs (`volumes.implicit`).

20 epochs in batches of 64 with Adam at 1e-4 for both networks, for comparison with CryoSPIN,
whose Table 1 trains every method as long.

Where it deliberately differs: random Fourier features and rectifiers where cryoAI has sinusoidal
layers (one network multiplying another); half-sets solved independently; images whitened; the
final map is the closed form at the final poses.
"""

from __future__ import annotations

from cryospin.explore.amortised import EncoderTraining
from cryospin.recipes.unrefined import unrefined
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.amortised import AmortisedTraining


def recipe() -> AbInitio:
    return unrefined(
        AmortisedTraining(
            heads=1,
            encoder=EncoderTraining(epochs=20, volume_rate=1e-4, symmetrised=True),
            direct=None,
            implicit=True,
        ),
        attempts=1,
    )
