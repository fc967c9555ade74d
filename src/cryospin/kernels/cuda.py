"""The kernels on NVIDIA cards: tensors in, tensors out, by the Triton programs beside this file.

Nothing waits for the card: no number comes back to the host. Insertion adds up in whatever
order the card's atomics take, so its last bits differ from run to run, unless
`cuda_sums.deterministic_sums` is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels.classes import class_log_odds, class_sums
from cryospin.kernels.cuda_grid import GridBlocks, in_chunks, products
from cryospin.kernels.cuda_launch import BLOCK, WARPS, blocks_of, rows_of, scaled, words_of
from cryospin.kernels.cuda_sums import FloatSums, IntegerSums, empty_sums
from cryospin.kernels.grid_programs import peaks_program, weigh_program
from cryospin.kernels.pose_programs import pose_program
from cryospin.kernels.volume_programs import insert_program, slice_program

_ROW, _ROW_WARPS = 1024, 8  # orientations a program takes at once, and its warps


def slice_volume(volume: Tensor, rotations: Tensor, disk: FourierDisk, oversampling: int) -> Tensor:
    out = torch.empty(len(rotations), len(disk), dtype=torch.complex64, device=volume.device)
    with torch.cuda.device_of(volume):
        slice_program[len(rotations), blocks_of(len(disk))](
            words_of(volume.contiguous()),
            scaled(rotations, oversampling),
            *disk.frequencies(volume.device),
            out.view(torch.int64),
            len(disk),
            volume.shape[-1] - 1,
            BLOCK=BLOCK,
            num_warps=WARPS,
        )
    return out


def insert_portions(
    portions: Iterable[tuple[Tensor, Tensor, Tensor]],
    disk: FourierDisk,
    margin: int,
    oversampling: int,
) -> tuple[Tensor, Tensor]:
    sums: FloatSums | IntegerSums | None = None
    for values, weights, rotations in portions:
        if sums is None:
            sums = empty_sums(margin, values.device)
        if not len(values):
            continue
        scale = sums.make_room(values, weights)
        words, weights = words_of(values), rows_of(weights)
        with torch.cuda.device_of(values):
            insert_program[len(values), blocks_of(len(disk))](
                words,
                weights,
                scaled(rotations, oversampling),
                *disk.frequencies(values.device),
                sums.total,
                scale,
                len(disk),
                words.stride(0),
                weights.stride(0),
                margin,
                HOW=sums.how,
                BLOCK=BLOCK,
                num_warps=WARPS,
            )
    assert sums is not None, "at least one portion"
    parts = sums.floats()
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
    count, device = len(rotations), volume.device
    index = torch.arange(count, device=device) if image_index is None else image_index
    loss = torch.empty(count, device=device)
    gradient = torch.empty(count, 5, device=device) if derivatives else loss
    hessian = torch.empty(count, 5, 5, device=device) if derivatives else loss
    words, ctf = words_of(images), rows_of(ctf)
    with torch.cuda.device_of(volume):
        pose_program[(count,)](
            words_of(volume.contiguous()),
            words,
            ctf,
            scaled(rotations, oversampling),
            shifts_pixel.contiguous(),
            index.contiguous(),
            *disk.frequencies(device),
            loss,
            gradient,
            hessian,
            len(disk),
            words.stride(0),
            ctf.stride(0),
            volume.shape[-1] - 1,
            2 * math.pi / disk.box,
            DERIVATIVES=derivatives,
            BLOCK=BLOCK,
            num_warps=WARPS,
        )
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
    grid = GridBlocks.of(slices, disk)
    values, weights = torch.zeros_like(grid.slices), torch.zeros_like(grid.power)
    evidence = torch.empty(len(images), device=slices.device)
    classes = 1 if class_prior is None else len(class_prior)
    of_class = torch.empty(len(images), classes, device=slices.device)
    hypotheses = 4 * len(shifts_pixel) * len(slices)

    def weigh(rows: slice) -> None:
        scores, norms, data, power = grid.scores(images[rows], ctf[rows], shifts_pixel)
        if class_prior is not None:
            # of both parities' sums, so that all four half-turned slices have it
            norms[0] -= temperature * class_log_odds(class_prior, len(slices))
        with torch.cuda.device_of(slices):
            weigh_program[(scores.shape[1],)](
                scores,
                norms,
                evidence[rows],
                1.0 / temperature,
                math.log(hypotheses),
                scores.stride(0),
                norms.stride(0),
                len(shifts_pixel),
                len(slices),
                BLOCK=_ROW,
                num_warps=_ROW_WARPS,
            )
        of_class[rows] = class_sums(norms[0], classes)
        with products(tf32=False):
            values.baddbmm_(scores.flatten(1, 2).mT, data.flatten(1, 2))
            weights.baddbmm_(norms.mT, power)

    in_chunks(weigh, len(images), hypotheses)
    return (*grid.unfold(values, weights), evidence, of_class)


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
    grid = GridBlocks.of(slices, disk)
    found = torch.empty(len(images), hypotheses, 3, dtype=torch.int64, device=slices.device)
    components = quaternions.flatten(0, 1).T.contiguous()

    def find(rows: slice) -> None:
        scores, norms, _, _ = grid.scores(images[rows], ctf[rows], shifts_pixel)
        best = torch.empty(scores.shape[1], 4, len(slices), device=slices.device)
        with torch.cuda.device_of(slices):
            peaks_program[(scores.shape[1],)](
                scores,
                norms,
                components,
                near,
                best,
                torch.empty_like(best, dtype=torch.int32),
                found[rows],
                scores.stride(0),
                norms.stride(0),
                len(shifts_pixel),
                len(slices),
                hypotheses,
                BLOCK=_ROW,
                num_warps=_ROW_WARPS,
            )

    in_chunks(find, len(images), 4 * len(shifts_pixel) * len(slices))
    return found
