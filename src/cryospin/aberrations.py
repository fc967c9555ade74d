"""Phases of beam tilt and of RELION's Zernike aberrations at spatial frequencies.

The formulas are RELION's, whose tables name the coefficients: a tilt is of the beam in mrad
(Cs couples it to the phase), a Zernike coefficient is in radians for frequencies in 1/Angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cryospin.ctf import wavelength_angstrom
from cryospin.optics import Optics


def beam_tilt_phase(
    tilt_mrad: Sequence[float],
    spherical_aberration_mm: float,
    voltage_kv: float,
    frequency: np.ndarray,
) -> np.ndarray:
    """Radians by which axial coma moves the phase of an image, (k,): -2 pi Cs lambda^2 s^2 (t.s).

    frequency: (k, 2) x, y in 1/Angstrom.
    """
    wavelength, cs = wavelength_angstrom(voltage_kv), spherical_aberration_mm * 1e7
    along = frequency @ (np.asarray(tilt_mrad, dtype=np.float64) * 1e-3)
    return -2.0 * np.pi * cs * wavelength**2 * (frequency**2).sum(axis=1) * along


def image_phase(optics: Optics, frequency: np.ndarray) -> np.ndarray:
    """Radians that beam tilt and odd Zernike terms together add to the phase of an image, (k,).

    frequency: (k, 2) x, y in 1/Angstrom, of the specimen (after the magnification matrix).
    """
    cs, kv = optics.spherical_aberration_mm, optics.voltage_kv
    tilted = beam_tilt_phase(optics.beam_tilt_mrad, cs, kv, frequency)
    return tilted + odd_zernike_phase(optics.odd_zernike, frequency)


def odd_zernike_phase(coefficients: Sequence[float], frequency: np.ndarray) -> np.ndarray:
    """Radians that antisymmetrical aberrations add to the phase of an image, (k,)."""
    return _zernike_sum([*map(_odd_order, range(len(coefficients)))], coefficients, frequency)


def even_zernike_phase(coefficients: Sequence[float], frequency: np.ndarray) -> np.ndarray:
    """Radians that symmetrical aberrations add to the CTF's chi, (k,)."""
    return _zernike_sum([*map(_even_order, range(len(coefficients)))], coefficients, frequency)


def _odd_order(index: int) -> tuple[int, int]:
    """m and n of the polynomial that stands at `index` in rlnOddZernike."""
    k = int((math.sqrt(1 + 4 * index) - 1) / 2)
    n = 2 * k + 1
    return 2 * (index - k * (k + 1)) - n, n


def _even_order(index: int) -> tuple[int, int]:
    """m and n of the polynomial that stands at `index` in rlnEvenZernike."""
    k = math.isqrt(index)
    return 2 * (index - k * k - k), 2 * k


def _zernike_sum(
    orders: list[tuple[int, int]], coefficients: Sequence[float], frequency: np.ndarray
) -> np.ndarray:
    radius = np.hypot(frequency[:, 0], frequency[:, 1])
    angle = np.arctan2(frequency[:, 1], frequency[:, 0])
    total = np.zeros(len(frequency))
    for (m, n), coefficient in zip(orders, coefficients, strict=True):
        turned = np.cos(m * angle) if m >= 0 else np.sin(-m * angle)
        total += coefficient * _radial(abs(m), n, radius) * turned
    return total


def _radial(m: int, n: int, radius: np.ndarray) -> np.ndarray:
    """Zernike's radial polynomial R_n^m."""
    total = np.zeros_like(radius)
    for k in range((n - m) // 2 + 1):
        below = math.factorial(k) * math.factorial((n + m) // 2 - k)
        below *= math.factorial((n - m) // 2 - k)
        total += (-1) ** k * math.factorial(n - k) / below * radius ** (n - 2 * k)
    return total
