"""Fourier shell correlation, and the resolution at which it crosses a threshold.

Shell s holds the coefficients with round(|k|) = s; curves run over s = 1 .. d/2 - 1, so
`curve[i]` is shell i + 1. The mean (shell 0) and the corners beyond Nyquist are left out.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.shell_curve import ShellCurve
from cryospin.fourier.volume import volume_spectrum
from cryospin.parallel import CPU


@lru_cache(maxsize=2)
def shells_of_spectrum(box: int, device: torch.device = CPU) -> Int[Tensor, "z y x"]:
    """round(|k|) of each coefficient of `rfftn` of a map, (d, d, d // 2 + 1)."""
    full = torch.fft.fftfreq(box, 1.0 / box, device=device)
    half = torch.arange(box // 2 + 1, dtype=full.dtype, device=device)
    square = full[:, None, None] ** 2 + full[None, :, None] ** 2 + half[None, None, :] ** 2
    return square.sqrt().round().long()


def shell_sums(values: Float[Tensor, "z y x"]) -> Float[Tensor, " s"]:
    """Sums over shells 1 .. d/2 - 1 of a quantity on the `rfftn` grid, float64.

    Coefficients whose Friedel mate the half-spectrum lacks count twice.
    """
    box = values.shape[0]
    shells = shells_of_spectrum(box, values.device)
    corners = int((3**0.5) * (box // 2)) + 2
    total = torch.zeros(corners, dtype=torch.float64, device=values.device)
    both = values.to(torch.float64) * 2.0
    both[..., 0] /= 2.0
    if box % 2 == 0:
        both[..., -1] /= 2.0
    total.index_add_(0, shells.flatten(), both.flatten())
    return total[1 : box // 2]


def correlate_shells(
    first: Complex[Tensor, "z y x"], second: Complex[Tensor, "z y x"]
) -> Float[Tensor, " s"]:
    """FSC of two spectra as `rfftn` gives them; 0 where a shell of either is empty."""
    cross = shell_sums((first * second.conj()).real)
    power = shell_sums(first.abs().square()) * shell_sums(second.abs().square())
    return torch.where(power > 0, cross / power.clamp_min(torch.finfo(power.dtype).tiny).sqrt(), 0)


def fourier_shell_correlation(
    first: Float[Tensor, "d d d"], second: Float[Tensor, "d d d"]
) -> Float[Tensor, " s"]:
    """Compute the FSC of two maps (Harauz & van Heel 1986).

    In shell s it is the real part of the scalar product of the two transforms, over the product
    of their norms. There is no mask and no alignment.

    Parameters
    ----------
    first, second : Tensor
        Maps, (d, d, d).

    Returns
    -------
    Tensor
        Shells 1 to d/2 - 1, float64: item i is shell i + 1.

    Raises
    ------
    ValueError
        The maps differ in size.
    """
    if first.shape != second.shape:
        raise ValueError(f"maps differ in size: {tuple(first.shape)} and {tuple(second.shape)}")
    return correlate_shells(volume_spectrum(first), volume_spectrum(second))


def shell_resolutions_angstrom(box: int, pixel_size_angstrom: float) -> Float[Tensor, " s"]:
    """Resolution of shells 1 .. d/2 - 1."""
    return box * pixel_size_angstrom / torch.arange(1, box // 2, dtype=torch.float64)


def resolution_at(
    curve: Float[Tensor, " s"], threshold: float, box: int, pixel_size_angstrom: float
) -> float | None:
    """Find the resolution at which an FSC curve first falls below a threshold.

    Parameters
    ----------
    curve : Tensor
        Shells 1, 2, ... as `fourier_shell_correlation` returns them.
    threshold : float
        0.143 for half-maps, 0.5 for a map against a reference.
    box : int
        Of the maps, in voxels.
    pixel_size_angstrom : float
        Of the maps.

    Returns
    -------
    float or None
        In Angstrom, by linear interpolation between shells. If the curve never falls below the
        threshold, it is the resolution of the last shell; if it starts below, None.
    """
    radius = ShellCurve.of_fsc(curve).crossing(threshold)
    return box * pixel_size_angstrom / radius if radius >= 1.0 else None
