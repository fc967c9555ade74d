"""The joint search as CryoSPIN's outlook has it: heads compete in the maps of all classes.

One encoder's heads guess a pose each, every pose is held against every map, and the best pair wins
the image (`explore.winner_search`). Then each image has few candidates in each class, of which it
makes its own (`reconstruct.direct_stage`). No grid of orientations is searched.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryospin.explore.exploration import Look
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.image_search import ImageSearch
from cryospin.reconstruct.direct_stage import class_posterior
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.refine.halves import HalfSet


@dataclass(frozen=True)
class WinnerClasses:
    method: SemiAmortised = SemiAmortised()

    def run(self, half: HalfSet, classes: int, search: ImageSearch) -> ClassedHalf:
        method = self.method
        state, unseen = method.begun(half.particles, search.setting, classes)

        def told(label: str, done: int, total: int, look: Look | None = None) -> None:
            search.progress("joint search", done, total)

        method.trained(state, unseen, told)
        sets = method.finished(state)
        return ClassedHalf(sets, class_posterior([each.poses for each in sets]))
