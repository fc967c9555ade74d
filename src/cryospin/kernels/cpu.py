"""The kernels on the CPU: tensors in, tensors out; the loops themselves are in `loops`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk, moved
from cryospin.fourier.parity import ParityFold
from cryospin.kernels import grid_loops, loops
from cryospin.kernels.classes import class_log_odds, class_sums
from cryospin.parallel import in_blocks

_BLOCK = 48  # images whose products with all slices stay near the core that made them


def _floats(tensor: Tensor) -> np.ndarray:
    """A complex64 tensor as contiguous float32 pairs along the last axis."""
    return torch.view_as_real(tensor.contiguous()).flatten(-2).numpy()


def _rows(tensor: Tensor) -> Tensor:
    """The table whose rows begin with those of `tensor`: of a prefix, the longer rows it is taken
    from, where they lie. The loops read as far as the disk reaches."""
    length = tensor.stride(0)
    end = tensor.storage_offset() + len(tensor) * length
    fits = end * tensor.element_size() <= tensor.untyped_storage().nbytes()
    if tensor.stride(1) != 1 or length < tensor.shape[1] or not fits:
        return tensor.contiguous()
    return tensor.as_strided((len(tensor), length), (length, 1))


def _frequencies(disk: FourierDisk) -> tuple[np.ndarray, np.ndarray]:
    return disk.kx.astype(np.float32), disk.ky.astype(np.float32)


def slice_volume(volume: Tensor, rotations: Tensor, disk: FourierDisk, oversampling: int) -> Tensor:
    out = torch.empty(len(rotations), len(disk), dtype=torch.complex64)
    turned = (rotations * oversampling).contiguous().numpy()
    loops.slice_loop(_floats(volume), turned, *_frequencies(disk), _floats(out))
    return out


def insert_portions(
    portions: Iterable[tuple[Tensor, Tensor, Tensor]],
    disk: FourierDisk,
    margin: int,
    oversampling: int,
) -> tuple[Tensor, Tensor]:
    sums = torch.zeros(2 * margin + 1, 2 * margin + 1, 3 * (margin + 1))
    # Each thread owns a slab of z and walks all particles: no races, and every voxel sums in
    # the order of the particles. |z| of a random slice's points is uniform up to the radius.
    threads = numba.get_num_threads()
    reach = oversampling * disk.radius
    edges = np.linspace(-reach, reach, threads + 1).round().astype(np.int64)
    edges[0], edges[-1] = -margin, margin + 1
    for values, weights, rotations in portions:
        loops.insert_loop(
            _floats(values),
            weights.contiguous().numpy(),
            (rotations * oversampling).contiguous().numpy(),
            *_frequencies(disk),
            edges,
            sums.numpy(),
        )
    parts = sums.unflatten(2, (margin + 1, 3))
    return torch.view_as_complex(parts[..., :2].contiguous()), parts[..., 2].contiguous()


def pose_losses(
    volume: Tensor,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    image_index: Tensor | None,
    oversampling: int,
) -> Tensor:
    return _poses(
        volume, images, ctf, rotations, shifts_pixel, disk, image_index, oversampling, False
    )[0]


def pose_normal_equations(
    volume: Tensor,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    image_index: Tensor | None,
    oversampling: int,
) -> tuple[Tensor, Tensor, Tensor]:
    return _poses(
        volume, images, ctf, rotations, shifts_pixel, disk, image_index, oversampling, True
    )


def _poses(
    volume: Tensor,
    images: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    image_index: Tensor | None,
    oversampling: int,
    derivatives: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    count = len(rotations)
    index = np.arange(count) if image_index is None else image_index.numpy()
    loss = torch.empty(count)
    gradient, hessian = torch.empty(count, 5), torch.empty(count, 5, 5)
    args = (
        _floats(volume),
        _floats(_rows(images)),
        _rows(ctf).numpy(),
        rotations.contiguous().numpy(),
        (shifts_pixel * (2 * np.pi / disk.box)).contiguous().numpy(),
        index,
        *_frequencies(disk),
        np.float32(oversampling),
        loss.numpy(),
    )
    if derivatives:
        loops.normal_equations_loop(*args, np.float32(disk.box), gradient.numpy(), hessian.numpy())
    else:
        loops.losses_loop(*args)
    return loss, gradient, hessian


def grid_weights(
    slices: Tensor,
    images: Tensor,
    ctf: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    temperature: float,
    class_prior: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    blocks = _Blocks.of(slices, disk)
    classes = 1 if class_prior is None else len(class_prior)

    def on(rows: slice) -> tuple[Tensor, ...]:
        scores, norms, data, power = blocks.scores(images[rows], ctf[rows], shifts_pixel, disk)
        if class_prior is not None:
            # of both parities' sums, so that all four half-turned slices have it
            norms[0] -= temperature * class_log_odds(class_prior, len(slices))
        share, evidence = torch.empty(2, len(norms[0]))
        grid_loops.weigh(
            scores.numpy(),
            norms.numpy(),
            np.float32(1.0 / temperature),
            share.numpy(),
            evidence.numpy(),
        )
        per_shift = share.repeat_interleave(len(shifts_pixel))[:, None]
        return (
            *(w.T @ (per_shift * x) for w, x in zip(scores.flatten(1, 2), data, strict=True)),
            *(w.T @ (share[:, None] * p) for w, p in zip(norms, power, strict=True)),
            evidence,
            share[:, None] * class_sums(norms[0], classes),
        )

    sums: list[Tensor] = []
    found: list[Tensor] = []
    of_class: list[Tensor] = []
    for *part, evidence, weight in in_blocks(on, len(images), _BLOCK):
        sums = [a + b for a, b in zip(sums, part, strict=True)] if sums else part
        found.append(evidence)
        of_class.append(weight)
    values, weights = blocks.fold.unfold(*sums[:4]), blocks.fold.unfold_even(*sums[4:])
    return values, weights, torch.cat(found), torch.cat(of_class)


def grid_peaks(
    slices: Tensor,
    images: Tensor,
    ctf: Tensor,
    shifts_pixel: Tensor,
    disk: FourierDisk,
    quaternions: Tensor,
    near: float,
    hypotheses: int,
) -> Tensor:
    blocks = _Blocks.of(slices, disk)
    where = quaternions.numpy()

    def on(rows: slice) -> Tensor:
        scores, norms, _, _ = blocks.scores(images[rows], ctf[rows], shifts_pixel, disk)
        found = np.empty((len(scores[0]), hypotheses, 3), dtype=np.int64)
        grid_loops.peaks(scores.numpy(), norms.numpy(), where, np.float32(near), found)
        return torch.from_numpy(found)

    return torch.cat(list(in_blocks(on, len(images), _BLOCK)))


@dataclass(frozen=True)
class _Blocks:
    """Slices by parity block: P (4 of them) and |P|^2 (2)."""

    fold: ParityFold
    slices: tuple[Tensor, ...]
    power: tuple[Tensor, ...]

    @classmethod
    def of(cls, slices: Tensor, disk: FourierDisk) -> _Blocks:
        fold = ParityFold.on(disk, slices.device)
        return cls(fold, fold.fold(slices), fold.fold_even(slices.abs().square()))

    def scores(
        self, images: Tensor, ctf: Tensor, shifts_pixel: Tensor, disk: FourierDisk
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Inner products per parity block: Re<C x s*, P> (4, b, t, g), <C^2, |P|^2> (2, b, g),
        and the image blocks they were made of."""
        batch, count, orientations = len(images), len(shifts_pixel), len(self.slices[0])
        centred = moved((images * ctf)[:, None], -shifts_pixel, disk)
        data = self.fold.fold(centred.flatten(0, 1))
        power = self.fold.fold_even(ctf.square())
        scores = torch.empty(4, batch * count, orientations)
        norms = torch.empty(2, batch, orientations)
        for values, of_slices, out in zip(data, self.slices, scores, strict=True):
            torch.mm(values, of_slices.T, out=out)
        for values, of_slices, out in zip(power, self.power, norms, strict=True):
            torch.mm(values, of_slices.T, out=out)
        return scores.view(4, batch, count, orientations), norms, data, power
