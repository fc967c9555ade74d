"""An explorer watched epoch by epoch: what its poses were, how long it took, in one .npz file.

Explorers that train in epochs have a field `watch` that is called with a `Snapshot` at the
end of each. All images are explored as one set here: curves over time need no half-sets.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryospin.bench.parameters import parameter_counts
from cryospin.bench.processes import peak_bytes
from cryospin.bench.watched import Watched
from cryospin.errors import UsageError
from cryospin.explore.setting import Setting
from cryospin.explore.snapshot import Snapshot
from cryospin.io.outputs import check_output_file
from cryospin.io.relion import read_particles
from cryospin.particles.diameter import particle_size
from cryospin.particles.prepare import prepare_particles
from cryospin.particles.source import ParticleSource
from cryospin.poses import PoseHypotheses
from cryospin.recipes import find_recipe


class _Enough(Exception):
    """Ends an explorer from within its own watch."""


class Recorder:
    """What is passed as `watch`: keeps every epoch, and ends the explorer at a limit.

    keep: called with all there is after each epoch, so that a killed process leaves it.
    """

    def __init__(
        self,
        uids: Sequence[str],
        most_epochs: int | None = None,
        limit_seconds: float | None = None,
        keep: Callable[[Watched], None] = lambda watched: None,
    ):
        self._uids, self._keep = uids, keep
        self._most_epochs = math.inf if most_epochs is None else most_epochs
        self._limit_seconds = math.inf if limit_seconds is None else limit_seconds
        self._snapshots: list[Snapshot] = []

    def __call__(self, snapshot: Snapshot) -> None:
        self._snapshots.append(snapshot)
        self._keep(self.watched())
        if len(self) >= self._most_epochs or snapshot.seconds > self._limit_seconds:
            raise _Enough

    def watched(self) -> Watched:
        """All epochs so far."""
        told = self._snapshots
        return Watched(
            self._uids,
            np.array([snapshot.epoch for snapshot in told]),
            np.array([snapshot.seconds for snapshot in told]),
            tuple(snapshot.stage for snapshot in told),
            torch.stack([snapshot.rotations.detach().cpu().float() for snapshot in told]),
            torch.stack([snapshot.shifts_pixel.detach().cpu().float() for snapshot in told]),
            _padded([snapshot.usage for snapshot in told]),
            np.array([snapshot.loss for snapshot in told]),
        )

    def __len__(self) -> int:
        return len(self._snapshots)


def can_be_watched(recipe: str) -> bool:
    search: Any = find_recipe(recipe).starts.search
    return any(field.name == "watch" for field in fields(search))


def watch_explorer(
    search: Any,
    particles: ParticleSource,
    setting: Setting,
    *,
    most_epochs: int | None = None,
    limit_seconds: float | None = None,
    keep: Callable[[Watched], None] = lambda watched: None,
) -> Watched:
    """Run an explorer alone, until `most_epochs` or the end of the epoch past the limit.

    Raises UsageError for one that ends before its first epoch.
    """
    recorder = Recorder(particles.uids, most_epochs, limit_seconds, keep)
    hypotheses = None
    try:
        exploration = replace(search, watch=recorder).run(particles, setting, lambda *told: None)
        hypotheses = exploration.hypotheses
    except _Enough:
        pass
    if not len(recorder):
        raise UsageError("the explorer ended before its first epoch: there is nothing to watch")
    watched = recorder.watched()
    watched = replace(
        watched,
        candidates=_rotations(hypotheses),
        parameters=parameter_counts(search, particles),
    )
    keep(watched)
    return watched


def watch_stack(
    recipe: str,
    star: Path,
    out: Path,
    *,
    shift_range_pixel: float,
    seed: int,
    most_epochs: int | None = None,
    limit_seconds: float | None = None,
) -> Watched:
    """The explorer of a recipe on a table of particles, prepared as in a run; kept in `out`.

    Raises UsageError for a recipe that does not train in epochs, and where `out` is an input.
    """
    if not can_be_watched(recipe):
        raise UsageError(f"recipe {recipe} does not train in epochs: there is nothing to watch")
    stack = read_particles(star)
    check_output_file(out, stack.inputs)
    size = particle_size(stack, seed, shift_range_pixel)
    support = size.support_radius(stack.box * stack.pixel_size_angstrom)
    return watch_explorer(
        find_recipe(recipe).starts.search,
        prepare_particles(stack, mask_diameter_angstrom=size.mask_diameter_angstrom, seed=seed),
        Setting(torch.eye(3)[None], shift_range_pixel, support, seed, seed),
        most_epochs=most_epochs,
        limit_seconds=limit_seconds,
        keep=lambda watched: replace(watched, peak_bytes=peak_bytes(os.getpid())).write(out),
    )


def _rotations(found: PoseHypotheses | None) -> Tensor | None:
    return None if found is None else found.rotations.detach().cpu().float()


def _padded(usage: list[Tensor]) -> np.ndarray:
    """(e, m) from shares per head, NaN for epochs without heads."""
    table = np.full((len(usage), max(len(row) for row in usage)), np.nan)
    for number, row in enumerate(usage):
        table[number, : len(row)] = row.cpu().numpy()
    return table
