"""What two half-sets have in common: their components along the same axes, and how alike they are.

Each half finds a subspace of its own from its own random start, in axes of its own. Here the
second's are turned onto the first's, and both along the principal axes of what they share.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.variability.subspace import Subspace, turning

REPRODUCIBLE = 0.5
"""Correlation of a component's halves from which it is said to be reproducible."""

LIKE_THE_MEAN = 0.7
"""Correlation with the mean map from which a component is said to be like it."""


@dataclass(frozen=True)
class Agreement:
    """How alike the halves are, of components along common axes, the largest first.

    correlation: of a component's halves, over the voxels of the mask.
    variance: of what both halves share along each component, over the power of the mean map:
        the product of the halves, which noise adds nothing to on average; not negative.
    like_the_mean: correlation of each component with the mean map: close to 1 or -1, images
        differ in how well they are posed rather than in shape.
    fsc: per component over shells 1, 2 ... of the box.
    principal_cosines: of the angles between the subspaces, the most alike directions first.
    """

    correlation: Float[Tensor, " c"]
    variance: Float[Tensor, " c"]
    like_the_mean: Float[Tensor, " c"]
    fsc: Float[Tensor, "c s"]
    principal_cosines: Float[Tensor, " c"]

    @property
    def reproducible(self) -> int:
        """How many components both halves found."""
        return int((self.correlation >= REPRODUCIBLE).sum())


def common_axes(
    first: Subspace, second: Subspace
) -> tuple[Float[Tensor, "w w"], Float[Tensor, "w w"]]:
    """Orthogonal bases, one for each half (`Subspace.changed`), along which they are compared.

    The second's components are turned onto the first's (orthogonal Procrustes, Schonemann 1966),
    then both to the principal axes of their mean, the largest first. A component's sign is
    that in which its strongest voxel is positive.
    """
    one, two = (half.components.flatten(1).double() for half in (first, second))
    left, _, right = torch.linalg.svd(two @ one.T)
    turn = left @ right
    mean = 0.5 * (one + turn.T @ two)
    axes = torch.linalg.eigh(mean @ mean.T).eigenvectors.flip(1)
    shared = axes.T @ mean
    strongest = shared.gather(1, shared.abs().argmax(dim=1, keepdim=True))
    axes = axes * torch.where(strongest.T < 0, -1.0, 1.0)
    return turning(axes.float()), turning((turn @ axes).float())


def agreement_of(first: Subspace, second: Subspace, shells: int) -> Agreement:
    """Of halves along common axes; curves are told up to `shells`."""
    one, two = (half.components.flatten(1).double() for half in (first, second))
    mean = (0.5 * (first.mean + second.mean)).flatten().double()
    product = (one * two).sum(dim=1)
    both = 0.5 * (one + two)
    pairs = zip(first.components, second.components, strict=True)
    curves = [fourier_shell_correlation(a, b)[:shells] for a, b in pairs]
    frames = [torch.linalg.qr(half.T).Q for half in (one, two)]
    return Agreement(
        correlation=(product / (one.norm(dim=1) * two.norm(dim=1))).float(),
        variance=(product.clamp_min(0) / mean.square().sum()).float(),
        like_the_mean=(both @ mean / (both.norm(dim=1) * mean.norm())).float(),
        fsc=torch.stack(curves).float(),
        principal_cosines=torch.linalg.svdvals(frames[0].T @ frames[1]).clamp(max=1).float(),
    )


def in_words(agreement: Agreement) -> list[str]:
    """What may be made of the components, a sentence each; the first says how many there are."""
    count, found = len(agreement.correlation), agreement.reproducible
    best = float(agreement.correlation.max())
    wanted = f"a correlation of {REPRODUCIBLE:g} or more is wanted"
    if not found:
        return [
            "No reproducible variability: no component of one half-set was found again in the "
            f"other (best correlation {best:.2f}; {wanted}). Do not interpret these components."
        ]
    told = [f"{found} of {count} components were found in both half-sets ({wanted})."]
    for number in range(count):
        alike = float(agreement.like_the_mean[number])
        if agreement.correlation[number] >= REPRODUCIBLE and abs(alike) >= LIKE_THE_MEAN:
            told.append(
                f"Component {number + 1} is like the mean map (correlation {alike:.2f}): along it "
                "images differ in how well they are posed, more than in shape."
            )
    return told
