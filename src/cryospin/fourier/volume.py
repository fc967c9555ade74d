"""Transforms of real volumes whose rounding does not depend on the number of threads.

torch's transforms in three dimensions split their work by threads in a way that changes the
last bits, and a run from a random start turns last bits into other poses. scipy's give each
thread whole lines. They run on all of numba's threads, also where torch is held to one. Volumes
on another device than the CPU are torch's to transform.
"""

from __future__ import annotations

import numba
import scipy.fft
import torch
from jaxtyping import Complex, Float
from torch import Tensor

_AXES = (-3, -2, -1)


def volume_spectrum(values: Float[Tensor, "*b d e f"]) -> Complex[Tensor, "*b d e g"]:
    """`rfftn`: unnormalised, the last axis halved."""
    if values.device.type != "cpu":
        return torch.fft.rfftn(values, dim=_AXES)
    return torch.from_numpy(
        scipy.fft.rfftn(values.numpy(), axes=_AXES, workers=numba.get_num_threads())
    )


def volume_of_spectrum(
    spectrum: Complex[Tensor, "*b d e g"], shape: tuple[int, int, int]
) -> Float[Tensor, "*b d e f"]:
    """`irfftn`: the inverse of `volume_spectrum`, for a volume of `shape`."""
    if spectrum.device.type != "cpu":
        return torch.fft.irfftn(spectrum, s=shape, dim=_AXES)
    threads = numba.get_num_threads()
    values = scipy.fft.irfftn(spectrum.numpy(), s=shape, axes=_AXES, workers=threads)
    return torch.from_numpy(values)
