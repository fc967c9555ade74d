"""M-step: all maps at once in closed form, one small linear system per voxel.

With w = (a, z) the maps solve, at each voxel of Fourier space,

    sum_l (sum_i E[w_j w_l] C_i^2 + prior_j delta_jl) V_l = sum_i E[w_j] C_i conj(s_i) x_i,

each sum inserted like the images of any map (Tagare et al. 2015).
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.kernels import margin_for
from cryospin.parallel import in_blocks_on
from cryospin.variability.subspace import CentredImages, Coordinates
from cryospin.volumes.gridded import SliceSums
from cryospin.volumes.volume_shells import shells_of_volume

_PLANES = 4  # of the volumes that one thread solves for at once


def moment_sums(
    images: CentredImages,
    coordinates: Coordinates,
    operators: Float[Tensor, "o 3 3"],
) -> tuple[Complex[Tensor, "w z y x"], Float[Tensor, "w w z y x"]]:
    """Both sides of every voxel's equations: numerators (w), denominators (w, w), w = 1 + c."""
    disk, count = images.disk, coordinates.mean.shape[1]
    means = coordinates.mean * images.weight[:, None]
    moments = coordinates.moments * images.weight[:, None, None]
    margin = margin_for(disk.radius)
    numerators: list[Tensor] = []
    denominators: dict[tuple[int, int], Tensor] = {}

    def inserted(values: Tensor, weights: Tensor) -> SliceSums:
        return SliceSums.inserted(values, weights, images.rotations, disk, margin, operators)

    for a in range(count):
        sums = inserted(images.values * means[:, a, None], images.power * moments[:, 0, a, None])
        numerators.append(sums.numerator)
        denominators[0, a] = sums.denominator
    pairs = [(a, b) for a in range(1, count) for b in range(a, count)]
    # two to an insertion: a real value is a weight as much as a weight is
    for at in range(0, len(pairs), 2):
        two = [pairs[at], pairs[min(at + 1, len(pairs) - 1)]]
        one, other = (images.power * moments[:, a, b, None] for a, b in two)
        sums = inserted(torch.complex(one, torch.zeros_like(one)), other)
        denominators[two[0]], denominators[two[1]] = sums.numerator.real, sums.denominator
    rows = [
        torch.stack([denominators[min(a, b), max(a, b)] for b in range(count)])
        for a in range(count)
    ]
    return torch.stack(numerators), torch.stack(rows)


def solved(
    numerators: Complex[Tensor, "w z y x"],
    denominators: Float[Tensor, "w w z y x"],
    prior_precision: Float[Tensor, "w s"],
    radius: float,
) -> Complex[Tensor, "w z y x"]:
    """The maps' Fourier volumes inside `radius`, zero outside.

    prior_precision: 1/tau^2 of each map per shell of the box, as `gridded.wiener_volume` has it.
    """
    last = prior_precision.shape[1] - 1
    shells = shells_of_volume(numerators.shape[-1] - 1, device=numerators.device)
    volumes = torch.zeros_like(numerators)

    def solve(planes: slice) -> None:
        shell = shells[planes]
        inside = shell <= radius
        shell = shell[inside]
        low = shell.floor().long().clamp_max(last)
        high = (low + 1).clamp_max(last)
        prior = torch.lerp(prior_precision[:, low], prior_precision[:, high], shell - low)
        matrix = denominators[:, :, planes][:, :, inside].movedim(2, 0).double()
        matrix = matrix + torch.diag_embed(prior.T.double().clamp_min(1e-12))
        right = torch.view_as_real(numerators[:, planes][:, inside].T.contiguous()).double()
        values = torch.linalg.solve(matrix, right).float()
        volumes[:, planes][:, inside] = torch.complex(values[..., 0], values[..., 1]).T

    for _ in in_blocks_on(volumes.device, solve, volumes.shape[1], _PLANES):
        pass
    return volumes
