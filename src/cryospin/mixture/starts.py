"""Both half-sets in classes, each from nothing and independently, and paired.

Half-sets that never met seldom make the same mistake: classes that both find alike, and that are
different structures, are what there is to find. So what is cheap comes first, classes at the poses
of one map; only without agreement are classes and poses searched for jointly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from cryospin.explore.setting import Setting
from cryospin.journal.journal import Journal
from cryospin.journal.tree import Tree
from cryospin.mixture.class_search import ClassSearch, Searched
from cryospin.mixture.classed_half import ClassedHalf, ClassedHalves, recalled_halves
from cryospin.mixture.distinct import compare_classes, told_apart
from cryospin.mixture.image_search import ImageSearch
from cryospin.mixture.pairing import Paired, pair_classes
from cryospin.mixture.refinement import comparable_maps, weighed
from cryospin.particles.source import ParticleSource
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.ready import Prepared
from cryospin.reconstruct.refinement import Halves
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.refine.halves import HalfSet

_MISSED = 2  # counts in a row, and there are no more
_BETWEEN_STARTS = 1_000_003  # seeds
_BEYOND_BIAS = 0.9  # of the radius searched within


@dataclass(frozen=True)
class ClassedStarts:
    """The method: how one map is found, and how several are from it.

    more_starts: of the joint search, while half-sets find most classes alike and not all. Which
        start is right their agreement says.
    some_junk: share of the images that are junk, from which on a class more is searched for, in
        which it may gather.
    """

    one: IndependentStarts
    search: ClassSearch
    more_starts: int = 2
    some_junk: float = 0.01

    def run(
        self,
        prepared: Prepared,
        counts: Sequence[int],
        classes: int,
        setting: Setting,
        monitor: Monitor,
        journal: Journal,
    ) -> Paired:
        """counts: of classes that are tried at common poses, and the last of them jointly.
        classes: of a second joint search, if there is junk: one more if one may be such.

        Where half-sets never find all alike, those classes are taken of which they find the most
        alike.
        """
        run = _Run(self, prepared, setting, monitor, journal)
        consensus = run.consensus(1), run.consensus(2)
        paired = run.alike_at_common_poses(consensus, counts)
        if paired is not None:
            return paired
        wanted = max(counts)
        tries: list[_Try] = []
        for count in [*sorted({wanted, classes}), *[wanted] * self.more_starts]:
            if count > wanted and run.junk(_best(tries)) < self.some_junk:
                continue
            before = [each for each in tries if each.count == count]
            if before and 2 * max(each.alike for each in tries) <= wanted:
                break
            tries += run.joint_tries(consensus, count, before)
            if _best(tries).alike >= wanted:
                break
        return _best(tries).paired


@dataclass(frozen=True)
class _Try:
    """One joint search of each half-set, by number. alike: classes that both found, all
    different."""

    count: int
    starts: tuple[int, int]
    ends: tuple[Searched, Searched]
    paired: Paired
    alike: int


def _best(tries: Sequence[_Try]) -> _Try:
    """That of which half-sets find the most classes alike; of equal ones that of fewest."""
    return max(tries, key=lambda each: (each.alike, -each.count))


@dataclass(frozen=True)
class _Run:
    """One run's circumstances; half-sets are counted from 1."""

    method: ClassedStarts
    prepared: Prepared
    setting: Setting
    monitor: Monitor
    journal: Journal

    def consensus(self, number: int) -> HalfSet:
        """All images as of one structure."""
        return self._alone(number, self.prepared[number - 1], self._part(number))

    def alike_at_common_poses(self, consensus: Halves, counts: Sequence[int]) -> Paired | None:
        """The last count of classes that half-sets find alike, all different, if there is one.

        No more are tried than are looked for: with a class too many several structures are drawn
        into two classes each, every time others. And alike they must be nearly as far as images
        were searched for: one map's poses make maps of whatever else there is alike at low
        frequencies.
        """
        least = max(self.method.one.agreement_radius, _BEYOND_BIAS * self._radius)
        found, missed = None, 0
        for count in counts:
            first, second = (self.at_common_poses(n, consensus[n - 1], count) for n in (1, 2))
            paired = self.paired((first.half, second.half), f"paired at common poses, {count}")
            if self.found_alike(paired, least) == count:
                found, missed = paired, 0
            else:
                missed += 1
            if missed == _MISSED:
                break
        return found

    def at_common_poses(self, number: int, consensus: HalfSet, classes: int) -> Searched:
        with self.monitor.stage("classify"):
            return self._told(number, self._common(number, consensus, classes))

    def joint_tries(self, consensus: Halves, count: int, before: Sequence[_Try]) -> Iterator[_Try]:
        """A new start of each half-set paired with each start of the other."""
        ends = [{each.starts[n]: each.ends[n] for each in before} for n in (0, 1)]
        new = len(ends[0])
        for n in (1, 2):
            ends[n - 1][new] = self.jointly(n, consensus[n - 1], count, new)
        for one, other in product(*ends):
            if new in (one, other):
                found = ends[0][one], ends[1][other]
                name = f"paired jointly, {count}, starts {one} and {other}"
                paired = self.paired((found[0].half, found[1].half), name)
                alike = self.found_alike(paired, self.method.one.agreement_radius)
                yield _Try(count, (one, other), found, paired, alike)

    def jointly(self, number: int, consensus: HalfSet, classes: int, start: int) -> Searched:
        search = self._search(number)
        part = self._part(number).part(f"{classes} at once, start {start}")
        with self.monitor.stage("classify"):
            alike = self._common(number, consensus, classes)
            search = search.seeded(search.setting.seed + _BETWEEN_STARTS * start)
            alone = partial(self._alone, number)
            found = self.method.search.jointly(consensus, alike, search, alone, part)
            return self._told(number, found)

    def junk(self, found: _Try) -> float:
        """The share of the images that is junk rather than of any class."""
        shares = []
        for end in found.ends:
            maps = end.half.densities(self._radius, self.setting)
            sets, fractions = end.half.sets, end.half.fractions
            known = weighed(sets, fractions, maps, self._radius, self.setting.shift_range_pixel)
            shares.append(1 - float(known.fractions.sum()))
        return sum(shares) / len(shares)

    def paired(self, halves: ClassedHalves, name: str) -> Paired:
        def pair() -> Tree:
            paired = pair_classes(halves, self._images("pairs"))
            return [half.tree for half in paired.halves], paired.agreement

        with self.monitor.stage("join"):
            trees, agreement = self.journal.once(name, pair)
            found = recalled_halves(self.prepared, trees)
            self.monitor.log(
                event="paired",
                agreement_radius=max(agreement),
                each=list(agreement),
                fractions=[half.fractions.tolist() for half in found],
            )
        return Paired(found, tuple(agreement))

    def found_alike(self, paired: Paired, least: float) -> int:
        """How many classes half-sets found alike to the radius `least`, all of them different
        structures."""
        maps, reach = comparable_maps(paired.halves, self._radius, self.setting, least)
        likenesses = compare_classes(paired.halves, maps, reach)
        return told_apart(likenesses, paired.agreement, least)

    def _common(self, number: int, consensus: HalfSet, classes: int) -> Searched:
        part = self._part(number).part(f"{classes} at once")
        search = self._search(number)
        return self.method.search.at_common_poses(consensus, classes, search, part)

    @property
    def _radius(self) -> float:
        return min(self.method.search.radius, self.prepared[0].disk.radius)

    def _alone(self, number: int, particles: ParticleSource, journal: Journal) -> HalfSet:
        return self.method.one.alone(particles, number, self.setting, self.monitor, journal)

    def _part(self, number: int) -> Journal:
        return self.journal.part(f"classes{number}")

    def _told(self, number: int, found: Searched) -> Searched:
        """With all that is known of the images, not only what lies within the search's radius."""
        half = ClassedHalf.recalled(self.prepared[number - 1], found.half.tree)
        self.monitor.log(
            event="classified",
            half=number,
            fractions=half.fractions.tolist(),
            evidence=found.evidence,
            jointly=found.jointly,
        )
        return replace(found, half=half)

    def _search(self, number: int) -> ImageSearch:
        """With chances of the half-set's own."""
        return self._images(f"classes of half-set {number}").seeded(self.setting.seed * 10 + number)

    def _images(self, what: str) -> ImageSearch:
        """Told of as a part of `what`."""

        def told(label: str, done: int, total: int) -> None:
            self.monitor.progress(f"{what}: {label}", done, total)
            self.journal.may_end()

        return ImageSearch(self._radius, self.setting, self.method.one.assignment, told)
