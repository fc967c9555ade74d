"""What it costs to leave a column of a table out of the forward model, in a reader's words."""

from __future__ import annotations

import numpy as np

OF_HELICES = (
    "segments are single particles, without helical symmetry and without prior angles"
    " (those of one tube stay in one half-set)"
)


def of_phases(worst_radians: float, nyquist_angstrom: float) -> str:
    degrees = _number(np.rad2deg(worst_radians))
    return f"phases are off by up to {degrees} degrees at {_finest(nyquist_angstrom)}"


def of_bfactor(bfactor: np.ndarray, nyquist_angstrom: float) -> str:
    """bfactor: in square Angstrom, (n,); RELION's envelope is exp(-B s^2 / 4)."""
    envelope = np.exp(-0.25 * bfactor / nyquist_angstrom**2)
    low, high = float(envelope.min()), float(envelope.max())
    between = _number(low) if low == high else f"{_number(low)} to {_number(high)}"
    fall = f"amplitudes are {between} of what is assumed at {_finest(nyquist_angstrom)}"
    return f"{fall}, which the map's own fall takes up" if low == high else fall


def of_scale(scale: np.ndarray) -> str:
    """scale: (n,)."""
    low, high = float(scale.min()), float(scale.max())
    if low == high:
        return f"all images are {_number(low)} times as strong as assumed, and so is the map"
    return f"images are {_number(low)} to {_number(high)} times as strong as is assumed of all"


def _finest(nyquist_angstrom: float) -> str:
    return f"{nyquist_angstrom:.3g} Angstrom, the finest that these pixels hold"


def _number(value: float) -> str:
    """Two digits, and no powers of ten where none are needed."""
    return f"{value:.0f}" if 10 <= abs(value) < 1e5 else f"{value:.2g}"
