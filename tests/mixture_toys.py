"""A run with classes at toy size: all stages run, none of them finds anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cryospin.explore.patience import Patience
from cryospin.journal import journal
from cryospin.mixture import fewer, starts
from cryospin.mixture.class_search import ClassSearch
from cryospin.mixture.distinct import Likeness
from cryospin.mixture.joint import PatientClasses
from cryospin.mixture.refinement import ClassedRefinement
from cryospin.mixture.solve import Mixture
from cryospin.mixture.split import ClassSplit
from cryospin.mixture.winner_classes import WinnerClasses
from cryospin.reconstruct.refinement import AlternatingRefinement
from cryospin.simulate.dataset import Microscope, simulate
from cryospin.simulate.mixture import draw_mixture
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.poses import draw_poses
from cryospin.simulate.transfer import draw_ctf
from reconstruct_toys import cut_down, toy

METHOD = Mixture(
    replace(toy("exhaustive"), refinement=AlternatingRefinement(first_radius=6.0, most_rounds=1)),
    ClassSearch(
        split=ClassSplit(radii=(5.0, 6.0), iterations=2, starts=1),
        joint=PatientClasses(
            Patience(
                march_times_nats=0.0,
                shortest_march=2,
                held=1.0,
                first_images_times_nats=0.0,
                fewest_images=20,
                first_radius=4.0,
                cycle=2,
            ),
            radius=5.0,
        ),
        radius=6.0,
        rounds=1,
    ),
    ClassedRefinement(rounds=1, first_radius=6.0, smallest_radius=5.0, junk=False),
    alone_from=40,
)
_ENCODER = toy("cryospin")
SEMI_AMORTISED = replace(
    METHOD,
    one=replace(_ENCODER, refinement=METHOD.one.refinement),
    search=replace(METHOD.search, joint=WinnerClasses(_ENCODER.starts.search)),
    alone_from=200,  # its heads learn nothing from so few
)
BOX, PIXEL, COUNT = 20, 6.0, 120


def simulated(folder: Path) -> Path:
    """A table of so many particles."""
    poses = draw_poses(COUNT, max_shift_pixel=0.5, pixel_size_angstrom=PIXEL, seed=1)
    scope = Microscope(BOX, PIXEL, 2.0, draw_ctf(COUNT, 1), seed=1)
    # one is so much larger that wrong poses tell them apart
    molecules = chain_molecule(1, residues_per_domain=25), chain_molecule(2, domains=2)
    simulate(draw_mixture(molecules, COUNT, PIXEL, seed=1), poses, scope, folder)
    return folder / "particles.star"


def cut_down_classes(patch: pytest.MonkeyPatch) -> None:
    """What takes long cut down, every state kept, and every two classes two structures, which are
    searched for jointly although half-sets agree on nothing."""
    cut_down(patch)
    patch.setattr(starts._Run, "found_alike", lambda *_: 0)
    patch.setattr(journal, "_PAUSE", 0.0)
    patch.setattr(fewer, "_LEAST_OF_A_HALF", 5)
    patch.setattr(Likeness, "same", property(lambda self: False))
