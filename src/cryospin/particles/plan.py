"""What a reconstruction will take, before it is begun: memory from the layout, time roughly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BASE_BYTES = 800e6  # libraries, compiled kernels and the explorer's own tables
_BYTES_PER_COEFFICIENT = 12  # complex64 and its CTF
_FILE_BYTES_PER_COEFFICIENT = 6  # with 16 bits each
_TABLE_BYTES = 1500  # of a particle: its row as text, its optics, its pose
_IN_WORK_BYTES = 600e6  # batches on their way through a pass that reads them from a file
_CARD_BASE_BYTES = 3 * 2**30  # context, libraries, the search's scores, images on their way
_VOLUMES = 12  # oversampled numerators, denominators and maps alive at once
# measured at 5,000 images of 64 x 64 on two cores (docs/history/benchmarks-2026-11.md); rounds
# over all particles grow with their coefficients
_BASE_SECONDS = 12.0
_CORE_SECONDS_PER_COEFFICIENT = 7e-6


@dataclass(frozen=True)
class ReconstructionPlan:
    """seconds: on `cores`, good to a factor of two at SNR 0.1, four times too short at 0.01."""

    image_bytes: int
    memory_bytes: int
    disk_bytes: int
    seconds: float
    cores: int


def reconstruction_plan(particles: int, box: int, cores: int) -> ReconstructionPlan:
    """Of `cryospin reconstruct` with its defaults."""
    work = particles * _coefficients(box)
    return ReconstructionPlan(
        4 * particles * box**2,
        memory_plan(particles, box).in_memory,
        output_bytes(particles, box),
        _BASE_SECONDS + _CORE_SECONDS_PER_COEFFICIENT * work / cores,
        cores,
    )


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of memory with all coefficients in it, and with them in a file; and of that file."""

    in_memory: int
    from_file: int
    file: int


def memory_plan(particles: int, box: int, radius: float | None = None) -> MemoryPlan:
    """radius: Fourier pixels that are kept; default: all."""
    work = particles * _coefficients(box, radius)
    base = _BASE_BYTES + _VOLUMES * 8 * 2 * box**3 + _TABLE_BYTES * particles
    return MemoryPlan(
        int(base + _BYTES_PER_COEFFICIENT * work),
        int(base + _IN_WORK_BYTES),
        _FILE_BYTES_PER_COEFFICIENT * work,
    )


def _coefficients(box: int, radius: float | None = None) -> int:
    """Of an image."""
    limit = box // 2 - 1
    return int(np.pi / 2 * (limit if radius is None else min(radius, limit)) ** 2)


@dataclass(frozen=True)
class CardPlan:
    """bytes: of a card's memory that all of the images' coefficients and the volumes take.
    fitting: how many such images would fit into what is free."""

    bytes: int
    fitting: int


def card_plan(particles: int, box: int, radius: float, free_bytes: int) -> CardPlan:
    """Of a run with its coefficients on a card. radius: Fourier pixels that are kept."""
    each = _BYTES_PER_COEFFICIENT * max(1, _coefficients(box, radius))
    rest = _CARD_BASE_BYTES + 2 * _VOLUMES * 8 * 2 * box**3
    return CardPlan(int(rest + each * particles), max(0, int((free_bytes - rest) / each)))


def output_bytes(particles: int, box: int) -> int:
    """Disk a run's output takes: five maps, the table, and change."""
    return 5 * 4 * box**3 + 500 * particles + 20_000_000
