"""Every pixel of a stack, once: what is wrong with images, and the sums that judge their CTF.

One streaming pass of bounded memory. What the sums say about CTF and contrast is for
particles.thon_rings and particles.contrast; what to do about bad images for
particles.rejection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cryospin.io.mrc import read_images
from cryospin.parallel import in_image_blocks, single_threaded_torch
from cryospin.particles.pixel_loops import Moments
from cryospin.particles.ring_sums import BlockRings, RingSampler, RingSums
from cryospin.types import ParticleStack

NOT_FINITE = "NaN or infinite pixels"
CONSTANT = "the same value in every pixel"
OVER_BRIGHT = "a pixel far outside its image"
DUPLICATE = "the same pixels as an earlier image"
REASONS = (NOT_FINITE, CONSTANT, OVER_BRIGHT, DUPLICATE)

_RIM_PIXEL = 4
# of the image's own deviation: noise reaches 6 in 10^9 pixels
_BRIGHT_SIGMAS = 15.0
# and of the stack's spread of such extremes, for noiseless images are all extremes
_BRIGHT_SPREADS = 10.0


@dataclass(frozen=True)
class ImageAudit:
    """What one pass over n images found.

    bad: for each of `REASONS`, the particles (indices, ascending) it holds for; a particle
        has one reason.
    original_of: the particle that each duplicate repeats.
    background_mean, background_deviation: of the pixels outside the box's inscribed circle,
        (n,); NaN where the image is not finite.
    extreme: largest |pixel - mean| over the image's deviation, (n,).
    rings: the sums over a sample of the sound images.
    """

    bad: dict[str, np.ndarray]
    original_of: dict[int, int]
    background_mean: np.ndarray
    background_deviation: np.ndarray
    extreme: np.ndarray
    rings: RingSums

    @property
    def rejected(self) -> np.ndarray:
        """The particles to be set aside, ascending."""
        return np.sort(np.concatenate([self.bad[reason] for reason in REASONS]))


@dataclass(frozen=True)
class _Block:
    index: np.ndarray
    finite: np.ndarray
    constant: np.ndarray
    background_mean: np.ndarray
    background_deviation: np.ndarray
    extreme: np.ndarray
    digests: np.ndarray
    rings: BlockRings | None


def audit_images(
    stack: ParticleStack,
    progress: Callable[[int, int], None] = lambda done, total: None,
    seed: int = 0,
) -> ImageAudit:
    """Read every image once, in the order of the disk.

    Bad images are told, not raised. An image is over-bright when a pixel lies 15 of its own
    standard deviations from its mean and that is far more than in the stack's other images
    (hot pixels, gold, a failed normalisation).

    Parameters
    ----------
    progress: called with the number of images read and of all.
    seed: of the sample that is transformed.

    Raises
    ------
    BadDataError: a stack that went missing or was cut since its header was read.
    """
    order = np.lexsort((stack.slice_index, stack.file_index))
    sampler = RingSampler.of(stack, seed)

    def look(rows: slice) -> _Block:
        return _look_at(stack, order[rows], sampler)

    columns = _Columns(len(stack))
    sums = sampler.empty()
    done = 0
    with single_threaded_torch():
        for seen in in_image_blocks(look, len(stack), stack.box):
            if seen.rings is not None:
                sums.add(seen.rings)
            columns.add(seen)
            done += len(seen.index)
            progress(done, len(stack))
    return columns.judged(sums.finished())


def _look_at(stack: ParticleStack, index: np.ndarray, sampler: RingSampler) -> _Block:
    images = read_images(stack, index).numpy()
    seen = Moments.of(images, 0.5 * stack.box - _RIM_PIXEL)
    # NaN and infinity show in the sums
    finite = np.isfinite(seen.deviation) & np.isfinite(seen.mean)
    varied = seen.high > seen.low
    with np.errstate(invalid="ignore"):
        farthest = np.maximum(seen.high - seen.mean, seen.mean - seen.low)
        extreme = farthest / np.maximum(seen.deviation, 1e-30)
    chosen = np.flatnonzero(sampler.is_sampled[index] & finite & varied)
    rings = None
    if len(chosen):
        # a noiseless image has an empty background
        scale = np.maximum(seen.outer_deviation, 1e-3 * seen.deviation)
        rings = sampler.sums_of(images, chosen, index, seen.outer_mean, scale)
    return _Block(
        index,
        finite,
        finite & ~varied,
        seen.outer_mean,
        seen.outer_deviation,
        extreme,
        # with the moments, for the checksum's upper bits alone might have twins among 10^6 images
        np.column_stack([seen.checksum >> 11, seen.mean, seen.deviation, seen.low, seen.high]),
        rings,
    )


class _Columns:
    """What was seen of each image, at the image's place in the table."""

    def __init__(self, count: int):
        # made once: small arrays kept from every block would leave the heap full of holes that
        # the next block's images do not fit into
        self._finite = np.empty(count, dtype=bool)
        self._constant = np.empty(count, dtype=bool)
        self._background_mean = np.empty(count, dtype=np.float32)
        self._background_deviation = np.empty(count, dtype=np.float32)
        self._extreme = np.empty(count, dtype=np.float32)
        self._digests = np.empty((count, 5))

    def add(self, block: _Block) -> None:
        self._finite[block.index] = block.finite
        self._constant[block.index] = block.constant
        self._background_mean[block.index] = block.background_mean
        self._background_deviation[block.index] = block.background_deviation
        self._extreme[block.index] = block.extreme
        self._digests[block.index] = block.digests

    def judged(self, rings: RingSums) -> ImageAudit:
        finite = self._finite
        sound = finite & ~self._constant
        bright = sound & _far_out(self._extreme, sound)
        original_of = _duplicates(self._digests, np.flatnonzero(sound & ~bright))
        return ImageAudit(
            bad={
                NOT_FINITE: np.flatnonzero(~finite),
                CONSTANT: np.flatnonzero(self._constant),
                OVER_BRIGHT: np.flatnonzero(bright),
                DUPLICATE: np.array(sorted(original_of), dtype=np.int64),
            },
            original_of=original_of,
            background_mean=np.where(finite, self._background_mean, np.nan),
            background_deviation=np.where(finite, self._background_deviation, np.nan),
            extreme=np.where(finite, self._extreme, np.nan),
            rings=rings,
        )


def _far_out(extreme: np.ndarray, sound: np.ndarray) -> np.ndarray:
    if not sound.any():
        return np.zeros_like(sound)
    middle = np.median(extreme[sound])
    spread = 1.48 * np.median(np.abs(extreme[sound] - middle))
    # constant stacks have no spread: a hundredth of the middle then
    limit = middle + _BRIGHT_SPREADS * max(float(spread), 0.01 * float(middle))
    with np.errstate(invalid="ignore"):
        return extreme > max(_BRIGHT_SIGMAS, limit)


def _duplicates(digests: np.ndarray, candidates: np.ndarray) -> dict[int, int]:
    """Of images with the same pixels, all but the first of the table, and that first one."""
    rows = digests[candidates]
    order = np.lexsort(rows.T)  # stable: the same digests stay in the table's order
    rows, particles = rows[order], candidates[order]
    is_first = np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])[: len(rows)]
    originals = particles[is_first][np.cumsum(is_first) - 1]
    return dict(zip(particles[~is_first].tolist(), originals[~is_first].tolist(), strict=True))
