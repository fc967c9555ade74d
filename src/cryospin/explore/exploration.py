"""What every explorer hands on: a map of its half-set, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from cryospin.explore.setting import Setting
from cryospin.journal.journal import Journal
from cryospin.particles.source import ParticleSource
from cryospin.poses import PoseHypotheses
from cryospin.volumes.gridded import SliceSums

Look = Callable[[], Float[Tensor, "g g g"]]


@runtime_checkable
class ExplorerProgress(Protocol):
    """Told of what is counted, how much of it is done and how much there is in all; `look` gives
    the map as it is now, for who wants to see it."""

    def __call__(self, label: str, done: int, total: int, look: Look | None = None) -> None: ...


def unheard(label: str, done: int, total: int, look: Look | None = None) -> None:
    """Progress that nobody is told of."""


@dataclass(frozen=True)
class Exploration:
    """A half-set's map after exploration, as sums out to `radius`, and how its starts went.

    scores: mean log evidence of held-out images under each start's map, one per start.
    uncertainty: standard error of the best of them, as a mean over so few images.
    hypotheses: the poses each particle is down to; None where all are to be searched anew.
    starts: each start's sums where several raced, out to `starts_radius`, in order of `scores`.
    rising: whether the evidence still rose when the search was stopped; None: nobody looked.
    evidence: under the best start's map, of each image that was held out of it; None: none was.
    """

    sums: SliceSums
    radius: float
    scores: tuple[float, ...]
    uncertainty: float
    hypotheses: PoseHypotheses | None = None
    starts: tuple[SliceSums, ...] = ()
    starts_radius: float = 0.0
    rising: bool | None = None
    evidence: Float[Tensor, " b"] | None = None

    @property
    def score(self) -> float:
        return max(self.scores)


def same_end(one: Exploration, other: Exploration) -> bool:
    """Whether two searches of the same images, each of which went on until the evidence no longer
    rose, ended at the same evidence: then, as far as images tell, at the same map."""
    if one.rising is not False or other.rising is not False:
        return False
    return abs(one.score - other.score) <= max(one.uncertainty, other.uncertainty)


@runtime_checkable
class Explorer(Protocol):
    """From one half-set to a map, from random starts. A frozen dataclass of hyper-parameters.

    last_radius: Fourier pixels out to which the map is found.
    one_thread: whether exploring a half-set keeps one thread busy, not all: then both half-sets
        are explored at once.
    """

    @property
    def last_radius(self) -> float: ...
    @property
    def one_thread(self) -> bool: ...

    def run(
        self,
        particles: ParticleSource,
        setting: Setting,
        progress: ExplorerProgress = ...,
        journal: Journal = ...,
    ) -> Exploration:
        """Explore one half-set.

        Scores of different seeds can be compared where `shared_seed` is the same. Asked
        again with the journal of an exploration that was cut off, it goes on to the same end.
        """
        ...
