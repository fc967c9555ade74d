"""The joint search as CryoSPIN's outlook has it: heads compete in the maps of all classes.

One encoder's heads guess a pose each, every pose is held against every map, and the best pair wins
the image (`explore.winner_search`). Then each image has few candidates in each class, of which it
makes its own (`reconstruct.direct_stage`). No grid of orientations is searched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cryospin.explore.exploration import Look
from cryospin.explore.setting import Setting
from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.joint import ClassProgress
from cryospin.reconstruct.direct_stage import class_posterior
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.refine.assign import GlobalAssignment
from cryospin.volumes.gridded import SliceSums


@dataclass(frozen=True)
class WinnerClasses:
    """standing: steps in which the maps of the classes, which begin it, stay as they are: an
    encoder that knows nothing yet would blur them. None: random maps begin it.
    """

    method: SemiAmortised = SemiAmortised()
    standing: int | None = 400

    def run(
        self,
        classed: ClassedHalf,
        setting: Setting,
        assignment: GlobalAssignment,
        progress: ClassProgress,
    ) -> ClassedHalf:
        method, count = self.method, classed.classes
        start: tuple[SliceSums, ...] = ()
        if self.standing is not None:
            method = replace(method, search=replace(method.search, standing=self.standing))
            start = self._sums(classed, setting)
        state, unseen = method.begun(classed.particles, setting, count, start)

        def told(label: str, done: int, total: int, look: Look | None = None) -> None:
            progress("joint search", done, total)

        method.trained(state, unseen, told)
        sets = method.finished(state)
        return ClassedHalf(sets, class_posterior([half.poses for half in sets]))

    def _sums(self, classed: ClassedHalf, setting: Setting) -> tuple[SliceSums, ...]:
        """Of the classes at the poses that they have, as far out as the encoder's maps reach."""
        radius = min(self.method.search.last_radius, classed.particles.disk.radius)
        return tuple(classed.sums(c, radius, setting.operators) for c in range(classed.classes))
