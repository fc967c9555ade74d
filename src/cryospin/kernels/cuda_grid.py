"""Images against a grid of poses on NVIDIA cards, as matrix products of parity blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.parity import ParityFold
from cryospin.kernels.cuda_launch import BLOCK, WARPS, blocks_of, rows_of, words_of
from cryospin.kernels.grid_programs import fold_program

_CHUNK_BYTES = 2**30  # of the scores of a chunk of images, the largest array of a search


def in_chunks(work: Callable[[slice], None], images: int, hypotheses: int) -> None:
    """`work` on all images, so many at once as make `_CHUNK_BYTES` of scores; on half as many
    where the card has not the memory. What `work` adds to, it adds to last.

    Raises
    ------
    torch.OutOfMemoryError: there is none for a single image.
    """
    size, first = max(1, min(images, _CHUNK_BYTES // (4 * hypotheses))), 0
    while first < images:
        rows = slice(first, min(first + size, images))
        try:
            work(rows)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            torch.cuda.empty_cache()
        else:
            first = rows.stop


@dataclass(frozen=True)
class GridBlocks:
    """Slices by parity block, padded to one length: P (4, g, k') and |P|^2 (2, g, k')."""

    disk: FourierDisk
    places: Tensor
    factors: Tensor
    slices: Tensor
    power: Tensor

    @classmethod
    def of(cls, slices: Tensor, disk: FourierDisk) -> GridBlocks:
        places, factors = disk.once(
            ("parity blocks", slices.device), lambda: _parity_blocks(disk, slices.device)
        )
        squares = slices.abs().square()
        parts = (slices.real, slices.real, slices.imag, slices.imag)
        blocks = [
            (of_slices[:, two] * each).sum(1)
            for of_slices, two, each in zip(
                (*parts, squares, squares),
                (*places, *places[:2]),
                (*factors, *factors[:2]),
                strict=True,
            )
        ]
        return cls(disk, places, factors, torch.stack(blocks[:4]), torch.stack(blocks[4:]))

    def scores(
        self, images: Tensor, ctf: Tensor, shifts_pixel: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inner products per parity block: Re<C x s*, P> (4, b, t, g), <C^2, |P|^2> (2, b, g),
        and the image blocks they were made of.

        The former to the 11 bits of TF32: far below the noise of the images, and five times as
        fast. The latter would not be: the same for all images, their errors would add up.
        """
        data, power = self._image_blocks(images, ctf, shifts_pixel)
        with products(tf32=True):
            scores = data.flatten(1, 2) @ self.slices.mT
        with products(tf32=False):
            norms = power @ self.power.mT
        return scores.unflatten(1, data.shape[1:3]), norms, data, power

    def _image_blocks(
        self, images: Tensor, ctf: Tensor, shifts_pixel: Tensor
    ) -> tuple[Tensor, Tensor]:
        length, device = self.places.shape[-1], images.device
        data = torch.empty(4, len(images), len(shifts_pixel), length, device=device)
        power = torch.empty(2, len(images), length, device=device)
        words, ctf = words_of(images), rows_of(ctf)
        with torch.cuda.device_of(images):
            fold_program[len(images), blocks_of(length)](
                words,
                ctf,
                shifts_pixel.contiguous(),
                *self.disk.frequencies(device),
                self.places,
                self.factors,
                data,
                power,
                data.stride(0),
                power.stride(0),
                length,
                words.stride(0),
                ctf.stride(0),
                len(shifts_pixel),
                2 * math.pi / self.disk.box,
                BLOCK=BLOCK,
                num_warps=WARPS,
            )
        return data, power

    def unfold(self, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        fold = ParityFold.on(self.disk, values.device)
        pairs, x, y = len(fold.plus), len(fold.on_x), len(fold.on_y)
        even, odd = pairs + x + y + len(fold.origin), pairs
        lengths = (even, odd, pairs + x, pairs + y)
        blocks = [block[:, :length] for block, length in zip(values, lengths, strict=True)]
        power = [block[:, :length] for block, length in zip(weights, lengths[:2], strict=True)]
        return fold.unfold(*blocks), fold.unfold_even(*power)


def _parity_blocks(disk: FourierDisk, device: torch.device) -> tuple[Tensor, Tensor]:
    """`ParityFold` as tables for blocks of one length: the two coefficients that each number of
    a block is made of, and their factors, (4, 2, k'). Behind the shorter blocks factors are 0,
    to a length that the matrix units take without a rest."""
    fold = ParityFold.of(disk)
    axes = ((fold.on_x, fold.on_y, fold.origin), (), (fold.on_x,), (fold.on_y,))
    length = len(fold.plus) + len(fold.on_x) + len(fold.on_y) + len(fold.origin)
    length = -(-length // 8) * 8
    places = torch.zeros(4, 2, length, dtype=torch.long)
    factors = torch.zeros(4, 2, length)
    for block, sign in enumerate((1, -1, 1, -1)):
        alone = torch.cat([fold.plus[:0], *axes[block]])
        pairs, end = len(fold.plus), len(fold.plus) + len(alone)
        places[block, 0, :end] = torch.cat([fold.plus, alone])
        places[block, 1, :pairs] = fold.minus
        factors[block, 0, :pairs], factors[block, 0, pairs:end] = 0.5**0.5, 1
        factors[block, 1, :pairs] = sign * 0.5**0.5
    return places.to(device), factors.to(device)


@contextmanager
def products(tf32: bool) -> Iterator[None]:
    """Matrix products within are made in TF32, or in full float32, whatever they are outside."""
    settings = torch.backends.cuda.matmul
    before, settings.allow_tf32 = settings.allow_tf32, tf32
    try:
        yield
    finally:
        settings.allow_tf32 = before
