"""Where the kernels for cards are tested, and how their numbers are held to their twins' in
float64.

Without a card the programs run in Triton's interpreter (tests/conftest.py). On one:
CRYOSPIN_TEST_DEVICE=cuda python -m pytest tests/kernels
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import margin_for
from phantoms import disk_coefficients

DEVICE = torch.device(os.environ.get("CRYOSPIN_TEST_DEVICE", "cpu"))
ON_CARD = DEVICE.type == "cuda"

BOX = 24
# less than a block of coefficients, and one that the end of the second block is empty of
DISKS = [FourierDisk.of(BOX, 3.0), FourierDisk.of(BOX)]

# float32: positions to 1e-6 of a cell, sums of at most a few hundred terms
FLOAT32 = 1e-5


def on_device(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Float32 and complex64, on the card where there is one."""
    return tuple(
        t.to(DEVICE, torch.complex64 if t.is_complex() else torch.float32) for t in tensors
    )


def exact(*tensors: Tensor) -> tuple[Tensor, ...]:
    """What `on_device` rounded them to, in float64 on the CPU: rotations rounded to float32
    are no mistake of a kernel's."""
    rounded = (t.to(torch.complex64 if t.is_complex() else torch.float32) for t in tensors)
    return tuple(t.to(torch.complex128 if t.is_complex() else torch.float64) for t in rounded)


def assert_near(found: Tensor, expected: Tensor, tolerance: float = FLOAT32) -> None:
    """To a part of the largest number."""
    assert found.dtype == (torch.complex64 if expected.is_complex() else torch.float32)
    assert found.device.type == DEVICE.type and found.shape == expected.shape
    difference = (found.cpu().to(expected.dtype) - expected).abs().max()
    assert difference <= tolerance * expected.abs().max()


def noise_volume(disk: FourierDisk, oversampling: int, spare: int = 0) -> Tensor:
    margin = margin_for(disk.radius, oversampling) + spare
    size = 2 * margin + 1
    generator = torch.manual_seed(0)
    return torch.randn(size, size, margin + 1, dtype=torch.complex128, generator=generator)


def positive(count: int, disk: FourierDisk, seed: int) -> Tensor:
    return disk_coefficients(count, disk, seed).abs().square()


def prefixes(*tensors: Tensor, spare: int = 5) -> tuple[Tensor, ...]:
    """The same numbers in longer rows, of not-a-numbers behind."""
    longer = (torch.nn.functional.pad(t, (0, spare), value=torch.nan) for t in tensors)
    return tuple(row[:, :-spare] for row in longer)
