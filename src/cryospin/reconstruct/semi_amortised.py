"""CryoSPIN as it is fast here: an encoder explores until images settle, then each is its own.

An explorer (`explore.exploration.Explorer`); like `reconstruct.amortised`, which is the paper
to the letter, it stands in this layer because its second stage is a refinement.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.explore.exploration import Exploration, ExplorerProgress, unheard
from cryospin.explore.running_map import RunningMap
from cryospin.explore.setting import Setting
from cryospin.explore.snapshot import Snapshot, Watch
from cryospin.explore.winner_search import EncoderState, WinnerSearch
from cryospin.journal.journal import UNRECORDED, Journal
from cryospin.kernels import pose_losses
from cryospin.particles.draws import held_out_split
from cryospin.particles.source import ParticleSource
from cryospin.poses import Assignment
from cryospin.reconstruct.direct_stage import (
    DirectStage,
    best_in_class,
    with_current,
    with_mirror_mates,
)
from cryospin.reconstruct.switching import Check, SwitchRule, settled_share
from cryospin.refine.halves import HalfSet, sums_of


class _Watched:
    """Snapshots for who watches; the clock stands still while one is made and looked at."""

    def __init__(self, watch: Watch | None):
        self._watch, self._epochs, self._began = watch, 0, time.monotonic()

    def tell(
        self,
        stage: str,
        poses: Callable[[], tuple[Tensor, Tensor]],
        usage: Float[Tensor, " m"],
        gain: float,
    ) -> None:
        if self._watch is None:
            return
        seconds = time.monotonic() - self._began
        self._epochs += 1
        self._watch(Snapshot(self._epochs, seconds, stage, *poses(), usage, -gain))
        self._began = time.monotonic() - seconds


@dataclass(frozen=True)
class SemiAmortised:
    """last_radius in Fourier pixels; held_out images (at most a tenth)
    are never learnt from. watch: called at each check, and after each round of the direct
    stage."""

    search: WinnerSearch = WinnerSearch()
    switch: SwitchRule = SwitchRule()
    direct: DirectStage = DirectStage()
    one_thread: bool = True
    last_radius: float = 12.0
    held_out: int = 300
    watch: Watch | None = None

    def run(
        self,
        particles: ParticleSource,
        setting: Setting,
        progress: ExplorerProgress = unheard,
        journal: Journal = UNRECORDED,
    ) -> Exploration:
        """Explore one half-set from random weights and a random map."""
        state, unseen = self.begun(particles, setting)
        watched = _Watched(self.watch)
        self.trained(state, unseen, progress, journal.part("encoder"), watched)

        def tell(poses: Assignment, radius: float) -> None:
            gain = (particles.images(radius).empty_loss() - poses.loss).mean()
            found = poses.rotations, poses.shifts_pixel
            watched.tell("direct", lambda: found, torch.zeros(0), float(gain))

        (found,) = self.finished(state, journal.part("direct"), tell)
        gains = self._gains_unseen(found, unseen, state)
        return Exploration(
            sums_of(found, self.last_radius, setting.operators),
            self.last_radius,
            (float(gains.mean()),),
            float(gains.std() / len(gains) ** 0.5),
            # the heads' poses once more: what a pose's rivals weigh says how sure it is
            with_current(state.hypotheses(everyone(particles)), found.poses, alone=False),
        )

    def begun(
        self,
        particles: ParticleSource,
        setting: Setting,
        classes: int = 1,
    ) -> tuple[EncoderState, Int[Tensor, " u"]]:
        """A training at its first step, and the images it will never learn from."""
        held_out, members = held_out_split(setting.shared_seed, particles.uids, self.held_out)
        state = EncoderState(self.search, particles, members, setting, classes)
        return state, particles.rows(np.sort(held_out))

    def finished(
        self,
        state: EncoderState,
        journal: Journal = UNRECORDED,
        tell: Callable[[Assignment, float], None] = lambda poses, radius: None,
    ) -> tuple[HalfSet, ...]:
        """The poses a switch now leads to, in each class; the training stays as it is."""
        particles = state.particles
        hypotheses = state.hypotheses(everyone(particles))
        return self.direct.run(
            state.volumes(),
            tuple(
                with_mirror_mates(hypotheses, density, particles, state.radius)
                for density in state.densities()
            ),
            particles,
            self._running(state),
            state.setting,
            journal,
            tell,
        )

    def checked(
        self, state: EncoderState, unseen: Int[Tensor, " u"], before: Assignment | None
    ) -> tuple[Check, Assignment]:
        """One look at held-out images: where each would end if the switch came now."""
        chosen = state.particles.select(unseen.cpu().numpy())
        candidates = state.hypotheses(unseen)
        now = best_in_class(
            [
                self.direct.choice.run(volume, chosen, state.radius, state.setting, candidates)
                for volume in state.volumes()
            ]
        )
        gain = float((chosen.images(state.radius).empty_loss() - now.loss).mean())
        settled = 0.0
        if before is not None:
            settled = settled_share(before, now, state.setting.operators, self.switch.near_degrees)
        return Check(state.steps, gain, settled), now

    def _running(self, state: EncoderState) -> RunningMap:
        return RunningMap.of(state.particles, self.last_radius, state.setting.support_radius)

    def _gains_unseen(
        self, found: HalfSet, unseen: Int[Tensor, " u"], state: EncoderState
    ) -> Float[Tensor, " u"]:
        """What held-out images gain at their final poses from a map made of all others."""
        running = self._running(state)
        others = found.select(state.particles.rows(state.members))
        sums = sums_of(others, running.radius, state.setting.operators)
        chosen = found.select(unseen)
        images = chosen.particles.images(running.radius)
        volume = running.volume(sums, running.radius)
        losses = pose_losses(volume, images, chosen.rotations, chosen.shifts_pixel)
        return images.empty_loss() - losses

    def trained(
        self,
        state: EncoderState,
        unseen: Int[Tensor, " u"],
        progress: ExplorerProgress = unheard,
        journal: Journal = UNRECORDED,
        watched: _Watched | None = None,
    ) -> None:
        """Train until the switch."""
        watched = watched or _Watched(None)
        checks = list[Check]()
        before: Assignment | None = None
        if recalled := journal.recalled():
            recorded, checks, before = recalled
            state.recall(recorded)
        while not checks or not self.switch.says(checks, self.search.march):
            for _ in range(state.steps, (len(checks) + 1) * self.switch.every):
                state.step()
                progress("encoder", state.steps, self.switch.most_steps)
                journal.keep(state.recorded, checks, before)
            check, before = self.checked(state, unseen, before)
            checks.append(check)
            usage = state.wins.sum(dim=1) / state.wins.sum()
            watched.tell("encoder", partial(self.winners, state), usage, check.gain)
        journal.keep_now(state.recorded, checks, before)

    def winners(self, state: EncoderState) -> tuple[Float[Tensor, "n 3 3"], Float[Tensor, "n 2"]]:
        """Each particle's pose by the encoder alone, its best head's (Eq. 6); shifts in pixels."""
        rows = everyone(state.particles)
        candidates = state.hypotheses(rows)
        found = candidates.rotations, candidates.shifts_pixel
        images = state.particles.batch(rows, state.radius)
        head = state.scored(state.volumes(), images, *found).head
        return found[0][rows, head], found[1][rows, head]


def everyone(particles: ParticleSource) -> Int[Tensor, " n"]:
    """The rows of all particles, where they are."""
    return torch.arange(len(particles), device=particles.device)
