"""The command line that asks for the same run."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path
from typing import Any

_FLAGS = {"junk": "--no-junk", "deterministic": "--deterministic", "allow_bad": "--allow-bad"}


def command_of(settings: dict[str, Any], out: Path) -> str:
    """settings: as `run.job.Job.settings` tells them. Options left at their defaults are left out.

    A class of an earlier run is named by its table.
    """
    from cryospin.run.reconstruct import reconstruct

    words = ["cryospin", "reconstruct", str(settings["particles"]), "--out", str(out)]
    for name, parameter in inspect.signature(reconstruct).parameters.items():
        value = settings.get(name)
        if name in ("particles", "out") or value is None or value == parameter.default:
            continue
        if name in _FLAGS:
            words.append(_FLAGS[name])
        else:
            option = name.removesuffix("_angstrom").removesuffix("_gb").replace("_", "-")
            words += [f"--{option}", str(value)]
    return shlex.join(words)
