"""Every recipe's parts at toy size: all stages run, none of them finds anything."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cryospin.explore import encoder, grid_step
from cryospin.explore.amortised import EncoderTraining
from cryospin.explore.branch_and_bound import BranchAndBound
from cryospin.explore.exhaustive import ExhaustiveSearch
from cryospin.explore.exploration import Explorer
from cryospin.explore.pairwise_start import PairwiseStart
from cryospin.explore.patience import Patience
from cryospin.explore.winner_search import WinnerSearch
from cryospin.pairs.common_lines import CommonLineSolver, Round
from cryospin.reconstruct import (
    cross_check,
    direct_stage,
    joining,
    measuring,
    refinement,
    rivals,
    starting,
)
from cryospin.reconstruct.abinitio import AbInitio
from cryospin.reconstruct.amortised import AmortisedTraining
from cryospin.reconstruct.direct_stage import DirectStage
from cryospin.reconstruct.refinement import AlternatingRefinement
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.reconstruct.starting import IndependentStarts
from cryospin.reconstruct.switching import SwitchRule
from cryospin.refine.assign import GlobalAssignment, PolishedHypotheses
from cryospin.refine.direct import DirectOptimisation
from cryospin.refine.gauss_newton import GaussNewton
from cryospin.rotations.grid import OrientationGrid
from cryospin.volumes.alignment import MapAlignment
from cryospin.volumes.spectrum_pair import Placement
from phantoms import random_turns

_ENCODER = EncoderTraining(epochs=2, batch=16)
_PAPER = AmortisedTraining(
    heads=2, encoder=_ENCODER, direct=DirectOptimisation(epochs=2, batch=16), last_radius=6.0
)
_CRYOAI = replace(
    _PAPER,
    heads=1,
    encoder=replace(_ENCODER, symmetrised=True, volume_rate=1e-4),
    direct=None,
    implicit=True,
)

_EXHAUSTIVE = ExhaustiveSearch(
    fewest_iterations=4,
    most_iterations=4,
    fewest_images=20,
    most_images=40,
    final_iterations=2,
    first_radius=4.0,
    race_radius=5.0,
    last_radius=7.0,
    patience=Patience(below_nats=0.0),
)

SEARCHES: dict[str, Explorer] = {
    "exhaustive": _EXHAUSTIVE,
    "patient": replace(
        _EXHAUSTIVE,
        patience=Patience(
            below_nats=1e9,
            march_times_nats=0.0,
            shortest_march=2,
            held=2.0,
            first_images_times_nats=0.0,
            fewest_images=20,
            first_radius=3.0,
            cycle=2,
        ),
    ),
    "branch-and-bound": BranchAndBound(
        starts=2,
        race_iterations=3,
        iterations=3,
        batch=20,
        first_radius=4.0,
        race_radius=5.0,
        marched_radius=6.0,
        last_radius=7.0,
    ),
    "cryospin": SemiAmortised(
        search=WinnerSearch(heads=3, batch=32, width=32, side=16, march=4, last_radius=7.0),
        switch=SwitchRule(every=3, most_steps=9),
        direct=DirectStage(rounds=3, choosing=2, first_radius=5.0),
        last_radius=7.0,
    ),
    "common-lines": PairwiseStart(
        CommonLineSolver(rounds=(Round(12, 6.0, 1.0), Round(12, 7.0, 0.5))), radii=(5.0, 6.0, 7.0)
    ),
    "cryospin-paper": _PAPER,
    "amortized": replace(_PAPER, direct=None),
    "cryoai": _CRYOAI,
    "cryoai-explicit": replace(_CRYOAI, implicit=False),
    "cryoposenet": replace(_PAPER, heads=1, direct=None),
}
_REFINED = ("exhaustive", "cryospin", "common-lines")


def toy(recipe: str) -> AbInitio:
    """The recipes that refine: two attempts, and all that may happen to poses afterwards."""
    search, rounds = SEARCHES[recipe], AlternatingRefinement(most_rounds=0)
    polish = GaussNewton(steps=0)
    if recipe in _REFINED:
        polish = GaussNewton(steps=2)
        rounds = AlternatingRefinement(
            first_radius=6.0, most_rounds=4, second_look=1, most_looks=2, noise_rounds=(1, 2)
        )
    starts = IndependentStarts(
        search,
        GlobalAssignment(OrientationGrid.of(1, 6), hypotheses=2, polish=polish),
        PolishedHypotheses(keep=2, polish=polish),
        attempts=2 if recipe in _REFINED else 1,
        agreement_radius=0.0,
    )
    return AbInitio(starts, rounds)


class FewOrientations:
    @staticmethod
    def of(nside: int, in_plane: int) -> OrientationGrid:
        return OrientationGrid.of(1, 6)


def cut_down(patch: pytest.MonkeyPatch) -> None:
    """What takes long and keeps no state of its own: alignment of maps, fine grids of poses and
    of masks, a deep network."""
    turn = random_turns(1, 3)[0]
    shift = torch.tensor([1.0, 0.0, -1.0], dtype=turn.dtype)
    alignment = MapAlignment(turn, shift, False, 1.0)
    for module in (direct_stage, joining, rivals):
        patch.setattr(module, "align_maps", lambda *maps, hands=None: alignment)
    patch.setattr(measuring, "search", lambda *maps, hands: Placement(turn, shift, True))
    patch.setattr(grid_step, "OrientationGrid", FewOrientations)
    patch.setattr(refinement, "_MASK_GRID", 16)
    patch.setattr(
        cross_check, "_SEARCH", replace(cross_check._SEARCH, grid=FewOrientations.of(4, 24))
    )
    patch.setattr(cross_check, "_WEIGHED", 5)
    # a second attempt whatever comes of the first
    patch.setattr(starting, "gain_elsewhere", lambda *half: 1.0)
    patch.setattr(encoder, "_VGG", ((8, 2, nn.MaxPool2d), (8, 1, nn.AvgPool2d)))
