"""Poses and seconds of an explorer's epochs, as a record in memory and an .npz file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.io.atomic import atomic_path


@dataclass(frozen=True)
class Watched:
    """e epochs of an explorer.

    seconds: since the start, without what watching cost.
    stages: of each epoch, in the explorer's words.
    usage: shares of the images per head; NaN where an epoch has no heads.
    candidates: each head's last pose of each particle; None where the explorer tells none, or was
        ended before it could.
    parameters: learned numbers by part, as far as the explorer tells.
    """

    uids: Sequence[str]
    epochs: np.ndarray
    seconds: np.ndarray
    stages: tuple[str, ...]
    rotations: Float[Tensor, "e n 3 3"]
    shifts_pixel: Float[Tensor, "e n 2"]
    usage: np.ndarray
    loss: np.ndarray
    candidates: Float[Tensor, "n m 3 3"] | None = None
    parameters: dict[str, int] | None = None
    peak_bytes: int = 0

    def write(self, path: Path) -> None:
        parameters = self.parameters or {}
        arrays: dict[str, Any] = {
            "uids": np.array(self.uids),
            "epochs": self.epochs,
            "seconds": self.seconds,
            "stages": np.array(self.stages),
            "rotations": self.rotations.float().numpy(),
            "shifts_pixel": self.shifts_pixel.float().numpy(),
            "usage": self.usage,
            "loss": self.loss,
            "parameter_names": np.array(list(parameters), dtype=str),
            "parameter_counts": np.array(list(parameters.values()), dtype=np.int64),
            "peak_bytes": np.int64(self.peak_bytes),
        }
        if self.candidates is not None:
            arrays["candidates"] = self.candidates.float().numpy()
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path) -> Watched:
        with np.load(path, allow_pickle=False) as held:
            names, counts = held["parameter_names"].tolist(), held["parameter_counts"].tolist()
            return cls(
                tuple(held["uids"].tolist()),
                held["epochs"],
                held["seconds"],
                tuple(held["stages"].tolist()),
                torch.as_tensor(held["rotations"]),
                torch.as_tensor(held["shifts_pixel"]),
                held["usage"],
                held["loss"],
                torch.as_tensor(held["candidates"]) if "candidates" in held else None,
                dict(zip(names, counts, strict=True)) or None,
                int(held["peak_bytes"]),
            )
