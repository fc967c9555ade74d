"""The mean CTF of a few particles on rings of frequencies, in closed form where there is one.

A twin of `cryospin.ctf` on rings instead of on a disk (the tests hold them together): hundreds
of CTFs are compared with one power spectrum, and only their rings matter.
"""

from __future__ import annotations

import numpy as np
from scipy.special import j0

from cryospin.ctf import electron_wavelength_angstrom
from cryospin.optics import CtfParameters

_ACROSS = np.array([-1 / 3, 0.0, 1 / 3])  # of a ring's width
_AZIMUTHS = np.pi * (np.arange(8) + 0.5) / 8


def ring_squares(
    ctf: CtfParameters, frequencies: np.ndarray, width: float, factors: np.ndarray
) -> np.ndarray:
    """Mean CTF^2 on rings of `width`, for each factor of the defocus phase: (factors, s).

    Over a ring, chi = a + b cos 2 theta, and the mean of sin^2 is (1 - J0(2b) cos 2a) / 2.
    """
    columns = _columns(ctf)
    fine = (frequencies + width * _ACROSS[:, None]).reshape(-1) ** 2
    result = np.zeros((len(factors), len(frequencies)))
    for mean, half, wavelength, cs, phase in zip(*columns.values(), strict=True):
        # in cycles of cos 2a, so that single precision is enough for what is left of whole ones
        defocus = wavelength * mean * fine
        fixed = phase / np.pi - 0.5 * wavelength**3 * cs * fine**2
        cycles = factors[:, None] * defocus + fixed
        cycles -= np.rint(cycles)
        cosine = np.cos((2.0 * np.pi * cycles).astype(np.float32))
        # the mean over the ring's width is the cosine's: J0 hardly changes there
        astigmatism = 2.0 * np.pi * wavelength * half * frequencies**2
        within = cosine.reshape(len(factors), len(_ACROSS), -1).mean(axis=1)
        result += j0(factors[:, None] * astigmatism) * within
    return 0.5 - 0.5 * result / len(ctf)


def ring_transfers(
    ctf: CtfParameters, frequencies: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Means of CTF and |CTF| on rings of `width`, (s,) each."""
    columns = _columns(ctf)
    fine = frequencies[:, None] + width * _ACROSS
    squares = fine[None, None] ** 2
    mean, half, wavelength, cs, phase = (
        columns[name][:, None, None, None] for name in ("mean", "half", "wavelength", "cs", "phase")
    )
    defocus = mean + half * np.cos(2 * _AZIMUTHS)[None, :, None, None]
    chi = np.pi * wavelength * defocus * squares + phase
    values = np.sin(chi - 0.5 * np.pi * wavelength**3 * cs * squares**2)
    return values.mean(axis=(0, 1, 3)), np.abs(values).mean(axis=(0, 1, 3))


def _columns(ctf: CtfParameters) -> dict[str, np.ndarray]:
    u, v = ctf.defocus_u_angstrom.double().numpy(), ctf.defocus_v_angstrom.double().numpy()
    contrast = np.arcsin(ctf.amplitude_contrast.double().numpy().clip(-1, 1))
    return {
        "mean": 0.5 * (u + v),
        "half": 0.5 * (u - v),
        "wavelength": electron_wavelength_angstrom(ctf.voltage_kv.double()).numpy(),
        "cs": ctf.spherical_aberration_mm.double().numpy() * 1e7,
        "phase": contrast + np.deg2rad(ctf.phase_shift_degrees.double().numpy()),
    }
