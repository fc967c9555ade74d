"""The kernels on NVIDIA cards: tensors in, tensors out; the Triton programs are in `programs`.

Nothing waits for the card: no number comes back to the host. Insertion adds up in whatever
order the card's atomics take, so its last bits differ from run to run, unless
`deterministic_sums` is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.parity import ParityFold
from cryospin.kernels import programs
from cryospin.kernels.classes import class_log_odds, class_sums

# Coefficients a program takes at once, and the warps it takes them with: four to a thread. A
# pose's 21 sums are kept for each coefficient of a block; more threads wait more at their end.
_BLOCK, _WARPS = 128, 1
_ROW, _ROW_WARPS = 1024, 8  # the same of orientations

_CHUNK_BYTES = 2**30  # of the scores of a chunk of images, the largest array of a search

_deterministic = False


@contextmanager
def deterministic_sums(wanted: bool = True) -> Iterator[None]:
    """Within, insertion gives the same bits in whatever order the card adds.

    It adds integers, in twice the memory, and to no less precision than float32. For the
    whole process: its threads share the card.
    """
    global _deterministic
    before, _deterministic = _deterministic, wanted
    try:
        yield
    finally:
        _deterministic = before


def _words(tensor: Tensor) -> Tensor:
    """Complex numbers as words of 64 bits; rows may be apart, as those of a prefix are."""
    return _rows(tensor.resolve_conj()).view(torch.int64)


def _rows(tensor: Tensor) -> Tensor:
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _scaled(rotations: Tensor, oversampling: int) -> Tensor:
    return (rotations * oversampling).contiguous()


def _blocks(length: int) -> int:
    return -(-length // _BLOCK)


def slice_volume(volume: Tensor, rotations: Tensor, disk: FourierDisk, oversampling: int) -> Tensor:
    out = torch.empty(len(rotations), len(disk), dtype=torch.complex64, device=volume.device)
    with torch.cuda.device_of(volume):
        programs.slice_program[len(rotations), _blocks(len(disk))](
            _words(volume.contiguous()),
            _scaled(rotations, oversampling),
            *disk.frequencies(volume.device),
            out.view(torch.int64),
            len(disk),
            volume.shape[-1] - 1,
            BLOCK=_BLOCK,
            num_warps=_WARPS,
        )
    return out


def insert_portions(
    portions: Iterable[tuple[Tensor, Tensor, Tensor]],
    disk: FourierDisk,
    margin: int,
    oversampling: int,
) -> tuple[Tensor, Tensor]:
    sums: _FloatSums | _IntegerSums | None = None
    for values, weights, rotations in portions:
        if sums is None:
            kind = _IntegerSums if _deterministic else _FloatSums
            sums = kind.empty(margin, values.device)
        if not len(values):
            continue
        scale = sums.make_room(values, weights)
        words, weights = _words(values), _rows(weights)
        with torch.cuda.device_of(values):
            programs.insert_program[len(values), _blocks(len(disk))](
                words,
                weights,
                _scaled(rotations, oversampling),
                *disk.frequencies(values.device),
                sums.total,
                scale,
                len(disk),
                words.stride(0),
                weights.stride(0),
                margin,
                HOW=sums.how,
                BLOCK=_BLOCK,
                num_warps=_WARPS,
            )
    assert sums is not None, "at least one portion"
    parts = sums.floats()
    return torch.view_as_complex(parts[..., :2].contiguous()), parts[..., 2].contiguous()


@dataclass(frozen=True)
class _FloatSums:
    """(re, im, weight, nothing) at each grid point."""

    total: Tensor
    how: str

    @classmethod
    def empty(cls, margin: int, device: torch.device) -> _FloatSums:
        total = torch.zeros(2 * margin + 1, 2 * margin + 1, margin + 1, 4, device=device)
        return cls(total, "vectors" if _adds_vectors(device) else "atomics")

    def make_room(self, values: Tensor, weights: Tensor) -> Tensor:
        return self.total

    def floats(self) -> Tensor:
        return self.total


def _adds_vectors(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


@dataclass
class _IntegerSums:
    """The same as multiples of 2^-exponent: one exponent for re and im, one for the weights.

    Exponents are as large as what is added so far allows. `bound`: what its sums can come to.
    """

    total: Tensor
    bound: Tensor
    exponent: Tensor
    how = "integers"

    @classmethod
    def empty(cls, margin: int, device: torch.device) -> _IntegerSums:
        shape = (2 * margin + 1, 2 * margin + 1, margin + 1, 4)
        total = torch.zeros(shape, dtype=torch.int64, device=device)
        bound = torch.zeros(2, dtype=torch.float64, device=device)
        return cls(total, bound, torch.full_like(bound, 120.0))

    def make_room(self, values: Tensor, weights: Tensor) -> Tensor:
        """The scales (2,) that slices are to be multiplied by, so that no sum overflows."""
        largest = torch.stack([_largest(torch.view_as_real(values)), _largest(weights)])
        # the weights with which one slice's points touch a grid point sum to less than 8
        self.bound += largest.double() * (8 * len(values))
        exponent = (61 - torch.log2(self.bound).ceil()).clamp(-120, 120)
        shift = (self.exponent - exponent).long().clamp(0, 63)
        self.total[..., :2].bitwise_right_shift_(shift[0])
        self.total[..., 2].bitwise_right_shift_(shift[1])
        self.exponent = exponent
        return torch.exp2(exponent).float()

    def floats(self) -> Tensor:
        unit = torch.where(self.bound.isfinite(), torch.exp2(-self.exponent), torch.nan).float()
        # integers reach 2^61: the product is no larger than the sums are
        return self.total[..., :3] * torch.stack([unit[0], unit[0], unit[1]])


def _largest(values: Tensor) -> Tensor:
    low, high = torch.aminmax(values)
    return torch.maximum(-low, high)


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
    words, ctf = _words(images), _rows(ctf)
    with torch.cuda.device_of(volume):
        programs.pose_program[(count,)](
            _words(volume.contiguous()),
            words,
            ctf,
            _scaled(rotations, oversampling),
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
            BLOCK=_BLOCK,
            num_warps=_WARPS,
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
    grid = _Grid.of(slices, disk)
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
            programs.weigh_program[(scores.shape[1],)](
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
        with _products(tf32=False):
            values.baddbmm_(scores.flatten(1, 2).mT, data.flatten(1, 2))
            weights.baddbmm_(norms.mT, power)

    _in_chunks(weigh, len(images), hypotheses)
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
    grid = _Grid.of(slices, disk)
    found = torch.empty(len(images), hypotheses, 3, dtype=torch.int64, device=slices.device)
    components = quaternions.flatten(0, 1).T.contiguous()

    def find(rows: slice) -> None:
        scores, norms, _, _ = grid.scores(images[rows], ctf[rows], shifts_pixel)
        best = torch.empty(scores.shape[1], 4, len(slices), device=slices.device)
        with torch.cuda.device_of(slices):
            programs.peaks_program[(scores.shape[1],)](
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

    _in_chunks(find, len(images), 4 * len(shifts_pixel) * len(slices))
    return found


def _in_chunks(work: Callable[[slice], None], images: int, hypotheses: int) -> None:
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
class _Grid:
    """Slices by parity block, padded to one length: P (4, g, k') and |P|^2 (2, g, k')."""

    disk: FourierDisk
    places: Tensor
    factors: Tensor
    slices: Tensor
    power: Tensor

    @classmethod
    def of(cls, slices: Tensor, disk: FourierDisk) -> _Grid:
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
        with _products(tf32=True):
            scores = data.flatten(1, 2) @ self.slices.mT
        with _products(tf32=False):
            norms = power @ self.power.mT
        return scores.unflatten(1, data.shape[1:3]), norms, data, power

    def _image_blocks(
        self, images: Tensor, ctf: Tensor, shifts_pixel: Tensor
    ) -> tuple[Tensor, Tensor]:
        length, device = self.places.shape[-1], images.device
        data = torch.empty(4, len(images), len(shifts_pixel), length, device=device)
        power = torch.empty(2, len(images), length, device=device)
        words, ctf = _words(images), _rows(ctf)
        with torch.cuda.device_of(images):
            programs.fold_program[len(images), _blocks(length)](
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
                BLOCK=_BLOCK,
                num_warps=_WARPS,
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
def _products(tf32: bool) -> Iterator[None]:
    """Matrix products within are made in TF32, or in full float32, whatever they are outside."""
    settings = torch.backends.cuda.matmul
    before, settings.allow_tf32 = settings.allow_tf32, tf32
    try:
        yield
    finally:
        settings.allow_tf32 = before
