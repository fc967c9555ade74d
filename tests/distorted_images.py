"""Images of a sum of Gaussians under aberrated, distorted optics, by RELION's formula and exact.

I(k) = C(M k) exp(i phi(M k)) s_k(t) P(M k)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from cryospin.aberrations import even_zernike_phase, image_phase
from cryospin.ctf import contrast_transfer
from cryospin.fourier.disk import FourierDisk, coefficients_to_images, images_to_coefficients
from cryospin.optics import CtfParameters, Optics
from cryospin.types import DensityMap, Poses

BOX, PIXEL, SIGMA = 32, 3.0, 1.0

TILTED = {"beam_tilt_mrad": (20.0, -32.0)}
ODD = {"odd_zernike": (0.0, 0.0, 60.0, 40.0, 0.0, -50.0)}
EVEN = {"even_zernike": (0.3, 20.0, -30.0, 10.0, 300.0, 0.0, -200.0, 0.0, 100.0)}
STRETCHED = {"magnification": (1.05, 0.03, -0.01, 0.96)}
KINDS = {
    "beam tilt": TILTED,
    "odd": ODD,
    "even": EVEN,
    "magnification": STRETCHED,
    # RELION writes no coma into the Zernike terms of a table that has a beam tilt
    "all": TILTED | {"odd_zernike": (5.0, 0.0, 60.0, 0.0, 0.0, -50.0)} | EVEN | STRETCHED,
}


def blobs() -> tuple[torch.Tensor, torch.Tensor]:
    """Positions in pixels (xyz from the centre) and weights of an asymmetric particle."""
    generator = torch.Generator().manual_seed(3)
    positions = torch.randn(14, 3, generator=generator, dtype=torch.float64)
    positions *= 9.0 / positions.norm(dim=1).max()
    return positions, 0.5 + torch.rand(14, generator=generator, dtype=torch.float64)


def exact_map() -> DensityMap:
    positions, weights = blobs()
    axis = torch.arange(BOX, dtype=torch.float64) - BOX // 2
    x, y, z = torch.exp(-0.5 * ((axis - positions.T[..., None]) / SIGMA) ** 2)
    return DensityMap(torch.einsum("n,nz,ny,nx->zyx", weights, z, y, x).float(), PIXEL)


def exact_images(
    optics: tuple[Optics, ...], group: np.ndarray, ctf: CtfParameters, poses: Poses
) -> torch.Tensor:
    """(n, d, d) float64; the poses' shifts are those in the images as they are."""
    disk = FourierDisk.of(BOX)
    k = np.stack([disk.kx, disk.ky], axis=1).astype(np.float64)
    images = torch.empty(len(poses), BOX, BOX, dtype=torch.float64)
    for number, each in enumerate(optics):
        rows = torch.from_numpy(np.flatnonzero(group == number))
        projections = _projections(each.magnification_matrix, poses.select(rows))
        seen = k @ each.magnification_matrix.T
        frequency = seen / (BOX * PIXEL)
        there = replace(disk, kx=seen[:, 0], ky=seen[:, 1])
        even = torch.from_numpy(even_zernike_phase(each.even_zernike, frequency))
        transfer = contrast_transfer(ctf.select(rows), there, PIXEL, even)
        phase = torch.from_numpy(np.exp(1j * image_phase(each, frequency)))
        coefficients = images_to_coefficients(projections, disk) * transfer * phase
        images[rows] = coefficients_to_images(coefficients, disk)
    return images


def _projections(magnification: np.ndarray, poses: Poses) -> torch.Tensor:
    """Of Gaussians, stretched: the transform at M k is the image at M^-T x."""
    positions, weights = blobs()
    seen = torch.einsum("pij,nj->pni", poses.rotations, positions)[..., :2]
    axis = torch.arange(BOX, dtype=torch.float64) - BOX // 2
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    place = torch.stack([x, y], dim=-1) - poses.shifts_angstrom[:, None, None] / PIXEL
    place = place @ torch.from_numpy(np.linalg.inv(magnification))
    away = (place[:, :, :, None] - seen[:, None, None]).square().sum(dim=-1)
    depth = SIGMA * np.sqrt(2 * np.pi)
    return depth * (weights * torch.exp(-0.5 * away / SIGMA**2)).sum(dim=-1)
