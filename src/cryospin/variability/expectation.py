"""E-step: each image's scale and coordinates, given the maps (Tagare et al. 2015).

With A the slices of all maps times C, and r the image less C times the mean's slice, the posterior
of (a - 1, z) is normal with precision D + 2 Re A^H A and mean 2 precision^-1 Re A^H r, where D
is the prior's: whitened complex coefficients have a likelihood exp(-|residual|^2).
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.kernels import slice_volume
from cryospin.parallel import in_blocks_on
from cryospin.variability.subspace import CentredImages, Coordinates

_CHUNK = 1000  # images whose slices are in memory at once
_BLOCK = 100  # and those whose products one thread makes at once


def coordinates_of(
    images: CentredImages, volumes: Complex[Tensor, "w z y x"], scale_deviation: float
) -> Coordinates:
    """The posterior of (a, z) of each image.

    volumes: Fourier volumes of V_0, V_1 ... V_c. scale_deviation: sigma of a, above 0.
    """
    deviations = torch.ones(len(volumes), dtype=torch.float64, device=volumes.device)
    deviations[0] = scale_deviation
    means, covariances, evidence = [], [], 0.0
    for first in range(0, len(images), _CHUNK):
        rows = slice(first, min(first + _CHUNK, len(images)))
        slices = [slice_volume(each, images.rotations[rows], images.disk) for each in volumes]

        def posterior(part: slice, rows: slice = rows, slices: list[Tensor] = slices):  # type: ignore[no-untyped-def]
            own = slice(rows.start + part.start, rows.start + part.stop)
            predicted = torch.stack([each[part] for each in slices], dim=1)
            return _posterior(predicted, images.values[own], images.power[own], deviations)

        for mean, covariance, log_evidence in in_blocks_on(
            images.values.device, posterior, rows.stop - rows.start, _BLOCK
        ):
            means.append(mean)
            covariances.append(covariance)
            evidence += float(log_evidence.sum())
    return Coordinates(torch.cat(means), torch.cat(covariances), evidence / max(len(images), 1))


def _posterior(
    slices: Complex[Tensor, "b w k"],
    values: Complex[Tensor, "b k"],
    power: Float[Tensor, "b k"],
    deviations: Float[Tensor, " w"],
) -> tuple[Float[Tensor, "b w"], Float[Tensor, "b w w"], Float[Tensor, " b"]]:
    """Mean and covariance of (a, z) and the log evidence, from the slices of all maps."""
    reals = torch.view_as_real(slices).flatten(-2)
    weighted = torch.view_as_real(slices * power[:, None]).flatten(-2)
    gram = (weighted @ reals.mT).double()
    score = (reals @ torch.view_as_real(values).flatten(-2)[..., None])[..., 0].double()
    right = 2 * (score - gram[:, :, 0])
    factor = torch.linalg.cholesky(deviations.square().reciprocal().diag() + 2 * gram)
    gain = torch.cholesky_solve(right[..., None], factor)[..., 0]
    # -|r|^2 of the mean alone, then what (a - 1, z) gain
    log_evidence = 2 * score[:, 0] - gram[:, 0, 0] + 0.5 * (right * gain).sum(dim=1)
    log_evidence -= factor.diagonal(dim1=1, dim2=2).log().sum(dim=1) + deviations.log().sum()
    gain[:, 0] += 1.0
    return gain.float(), torch.cholesky_inverse(factor).float(), log_evidence
