"""Classes cut in two and the pieces put together anew, where a joint search got stuck.

EM over many maps at once ends where one map has the images of two structures, and another
structure has two maps. To leave that, one class must be split and two be joined at the same time
(split and merge EM: Ueda et al. 2000). To cut a class in two is a small search, which succeeds;
and pieces of one structure take each other's images. Each group of pieces is then one structure,
whose poses are searched for as if there were no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor

from cryospin.mixture.classed_half import ClassedHalf
from cryospin.mixture.image_search import ImageSearch, evenly, shares_taken
from cryospin.mixture.joint import PatientClasses
from cryospin.particles.source import ParticleSource
from cryospin.refine.halves import HalfSet

Alone = Callable[[ParticleSource], HalfSet]
"""Searches for the poses of images as of one structure, from nothing."""

Settle = Callable[[ClassedHalf], tuple[ClassedHalf, float]]
"""Brings poses and classes into line, and tells the mean log evidence of an image then."""


_LOOKED_FOR = 100  # images of each piece, and a quarter of it at most
_NEXT = 0.25  # weight of where images would go if their own piece had no map


@dataclass(frozen=True)
class Piece:
    """Images of a half-set, by their rows, and their poses."""

    rows: Int[Tensor, " m"]
    half: HalfSet


@dataclass(frozen=True)
class Regrouping:
    """Hyper-parameters.

    cut: the search for two structures in the images of a class; of so many `starts` that one
        counts whose maps explain them best.
    fewest: images that can be cut in two, or searched for alone.
    """

    cut: PatientClasses = PatientClasses()
    starts: int = 2
    fewest: int = 100

    def run(
        self,
        classed: ClassedHalf,
        search: ImageSearch,
        settle: Settle,
        alone: Alone,
        rng: np.random.Generator,
    ) -> ClassedHalf:
        """As many classes as there are; all images searched for in the new maps."""
        half, count = classed.sets[0], classed.classes
        pieces = [
            piece
            for number in range(count)
            for piece in self._pieces(classed, number, search, settle, rng)
        ]
        if len(pieces) <= count:
            return classed
        volumes = []
        for number, group in enumerate(grouped(_takes(half, pieces, search), count), 1):
            search.progress("search each alone", number, count)
            members = sorted((pieces[each] for each in group), key=lambda each: -len(each.rows))
            rows = torch.cat([each.rows for each in members]).sort().values
            found = members[0].half
            if len(rows) >= self.fewest:
                found = alone(half.particles.select(rows.cpu().numpy()))
            volumes.append(search.volume_of(found))
        return search.placed(half, volumes)

    def _pieces(
        self,
        classed: ClassedHalf,
        number: int,
        search: ImageSearch,
        settle: Settle,
        rng: np.random.Generator,
    ) -> list[Piece]:
        """A class cut in two, or as it is where its images are few."""
        rows = classed.rows_by_class[number]
        members = classed.sets[number].select(rows)
        if len(rows) < self.fewest:
            return [Piece(rows, members)] if len(rows) else []

        def told(label: str, done: int, total: int) -> None:
            search.progress(f"cut class {number + 1}, {label}", done, total)

        ends = []
        for _ in range(self.starts):
            begun = replace(search, progress=told).seeded(int(rng.integers(2**31)))
            ends.append(settle(self.cut.run(members, 2, begun)))
        cut = max(ends, key=lambda end: end[1])[0]
        return [
            Piece(rows[own], poses.select(own))
            for own, poses in zip(cut.rows_by_class, cut.sets, strict=True)
            if len(own)
        ]


def _takes(half: HalfSet, pieces: list[Piece], search: ImageSearch) -> Float[Tensor, "p p"]:
    """Of some images of each piece (row), the share that each piece's map explains best, and a
    part of the share that each would get if it were not for their own.

    The maps are made without any of these images, or all would stay where they are. Pieces of one
    structure that saw it from different sides keep their images all the same: then only what the
    images would go to next tells.
    """
    volumes, chosen = [], []
    for piece in pieces:
        places = torch.arange(len(piece.rows), device=piece.rows.device)
        out = evenly(places, min(_LOOKED_FOR, len(places) // 4))
        volumes.append(search.volume_of(piece.half.select(places[~torch.isin(places, out)])))
        chosen.append(piece.rows[out])
    sizes = [len(rows) for rows in chosen]
    weights = search.placed(half.select(torch.cat(chosen)), volumes).weights.cpu()
    own = torch.repeat_interleave(torch.arange(len(pieces)), torch.tensor(sizes))
    without_own = weights.scatter(1, own[:, None], -1.0)
    return shares_taken(weights, sizes) + _NEXT * shares_taken(without_own, sizes)


def grouped(takes: Float[Tensor, "p p"], count: int) -> list[list[int]]:
    """So many groups of pieces, at most, of those of which one takes the other's images (average
    linkage).

    takes: of the images of each piece (row), the share that each one takes, or a little more.
    """
    distance = 1.0 + _NEXT - torch.maximum(takes, takes.mT).double().numpy()
    upper = distance[np.triu_indices(len(distance), 1)]
    labels = fcluster(linkage(upper, "average"), count, "maxclust")
    return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
