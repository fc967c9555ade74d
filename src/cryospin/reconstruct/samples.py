"""A few particles beside what the map predicts for them, small enough to stay with a run.

For the report's reader: does the map explain the images? The images themselves may be far away
by the time the page is made.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, coefficients_to_images
from cryospin.fourier.resize import resized
from cryospin.imaging import predict
from cryospin.io.atomic import atomic_path
from cryospin.io.mrc import read_images
from cryospin.particles.background import normalise_background, radius_grid
from cryospin.particles.diameter import ParticleSize
from cryospin.particles.lens import Lenses
from cryospin.types import DensityMap, ParticleStack, Poses
from cryospin.volumes.gridded import map_to_volume

SAMPLES, REJECTED_SAMPLES, SIZE = "samples.npz", "rejected.npz", "particle.npz"
PIXELS = 96
"""Width of each picture."""

# places in the order of falling confidence: the sure, the middling, the unsure
_QUANTILES = {"sure": (0.02, 0.1, 0.2), "middling": (0.47, 0.53), "unsure": (0.8, 0.9, 0.98)}
# one image shows next to nothing at the finest detail of thousands of them
_COARSER_THAN_MAP = 2.0
_RADIUS_WITHOUT_RESOLUTION = 8.0
_REJECTED_PER_REASON = 2


def write_samples(
    path: Path,
    stack: ParticleStack,
    density: DensityMap,
    poses: Poses,
    resolution_angstrom: float | None,
) -> None:
    """The chosen particles and their reprojections, low-passed alike, as an npz file.

    image, reprojection (s, PIXELS, PIXELS); name, group ("sure", "middling" or "unsure"),
    confidence, correlation (of the two, over the frequencies shown) (s,); lowpass_angstrom.

    resolution_angstrom: to where the map can be trusted (FSC 0.5), if anywhere.

    Raises
    ------
    ResourceError: the disk does not take it.
    BadDataError: an image has gone since it was reconstructed from.
    """
    index, group = chosen(poses.confidence.numpy())
    box, pixel = stack.box, stack.pixel_size_angstrom
    radius = _RADIUS_WITHOUT_RESOLUTION
    if resolution_angstrom is not None:
        radius = box * pixel / resolution_angstrom / _COARSER_THAN_MAP
    disk = FourierDisk.of(box, min(max(radius, 4.0), PIXELS // 2 - 1))
    images = normalise_background(read_images(stack, index), radius_grid(box) > 0.5 * box - 1.0)
    lenses = Lenses.of(stack, disk)
    seen = low_passed(lenses.coefficients(images, index), disk)
    expected = low_passed(_reprojections(lenses, density, poses, index), disk)
    # the origin says nothing of the particle: its noise is the background's, set to zero
    both = (seen[:, 1:].conj() * expected[:, 1:]).real.sum(dim=1)
    lengths = seen[:, 1:].norm(dim=1) * expected[:, 1:].norm(dim=1)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            image=coefficients_to_images(seen, disk, PIXELS).numpy().astype(np.float32),
            reprojection=coefficients_to_images(expected, disk, PIXELS).numpy().astype(np.float32),
            name=np.array([stack.uids[i] for i in index]),
            group=np.array(group),
            confidence=poses.confidence.numpy()[index],
            correlation=(both / lengths.clamp_min(1e-20)).numpy(),
            lowpass_angstrom=np.array(box * pixel / disk.radius),
        )


def chosen(confidence: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Particles (indices) at fixed places in the order of falling confidence, and their group."""
    order = np.argsort(-confidence, kind="stable")
    places = [(q, group) for group, quantiles in _QUANTILES.items() for q in quantiles]
    return order[[int(q * len(order)) for q, _ in places]], [group for _, group in places]


def low_passed(coefficients: Tensor, disk: FourierDisk) -> Tensor:
    """A raised-cosine fall over the last quarter of the radius: a sharp edge would ring."""
    fall = torch.as_tensor((disk.magnitude / disk.radius - 0.75) / 0.25).clamp(0, 1)
    return coefficients * (0.5 + 0.5 * torch.cos(np.pi * fall)).float()


def _reprojections(lenses: Lenses, density: DensityMap, poses: Poses, index: np.ndarray) -> Tensor:
    disk = lenses.disk
    grid = min(disk.box, 2 * int(np.ceil(disk.radius + 2)))
    values = torch.from_numpy(resized(density.values.numpy(), grid)).float()
    volume = map_to_volume(values, disk.box, disk.radius)
    poses = poses.select(torch.as_tensor(index))
    shifts = poses.shifts_angstrom.float() / lenses.stack.pixel_size_angstrom
    return predict(volume, lenses.transfer(index), poses.rotations.float(), shifts, disk)


def write_rejected_samples(path: Path, stack: ParticleStack, bad: dict[str, np.ndarray]) -> None:
    """The first particles rejected for each reason: image (r, pixels, pixels), name, reason (r,).

    bad: indices of the rejected by reason. No file where there are none.
    """
    path.unlink(missing_ok=True)
    found = [(i, why) for why, index in bad.items() for i in index[:_REJECTED_PER_REASON]]
    if not found:
        return
    images = read_images(stack, np.array([i for i, _ in found]))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            image=binned(images).numpy(),
            name=np.array([stack.uids[i] for i, _ in found]),
            reason=np.array([why for _, why in found]),
        )


def write_size(path: Path, size: ParticleSize, pixel_size_angstrom: float) -> None:
    """What the particle's size was told from: mean_image (pixels, pixels), box_angstrom, and the
    variance (p,) of pixels on rings of radius_angstrom (p,)."""
    box = size.mean_image.shape[-1]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            mean_image=binned(size.mean_image[None])[0].numpy(),
            box_angstrom=np.array(box * pixel_size_angstrom),
            variance=size.variance.numpy().astype(np.float32),
            radius_angstrom=np.arange(len(size.variance)) * pixel_size_angstrom,
        )


def binned(images: Float[Tensor, "r d d"]) -> Float[Tensor, "r e e"]:
    """Means over squares, to about PIXELS across; what is not finite stays so."""
    return torch.nn.functional.avg_pool2d(images, max(1, images.shape[-1] // PIXELS))
