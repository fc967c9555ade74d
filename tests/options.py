"""Options of a run, the defaults but for a few."""

from __future__ import annotations

from typing import Any

from cryospin.run.job import Options

_DEFAULTS: dict[str, Any] = {
    "recipe": "exhaustive",
    "classes": 1,
    "junk": True,
    "seed": 0,
    "symmetry": "C1",
    "particle_diameter_angstrom": None,
    "max_resolution_angstrom": None,
    "max_shift_angstrom": None,
    "initial_map": None,
    "initial_lowpass_angstrom": 30.0,
    "device": "auto",
    "deterministic": False,
    "threads": None,
    "batch_size": 500,
    "memory_gb": None,
    "scratch": None,
    "invert_contrast": "auto",
    "allow_bad": False,
}


def options_with(**given: Any) -> Options:
    return Options(**(_DEFAULTS | given))
