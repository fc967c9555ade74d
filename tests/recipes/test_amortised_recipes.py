"""The recipes that train an encoder carry the papers' numbers."""

from __future__ import annotations

from importlib import import_module

import pytest

from cryospin.reconstruct.amortised import AmortisedTraining

NAMES = ("cryospin_paper", "amortized", "cryoai", "cryoai_explicit", "cryoposenet")


def training_of(name: str) -> AmortisedTraining:
    search = import_module(f"cryospin.recipes.{name}").recipe().starts.search
    assert isinstance(search, AmortisedTraining)
    return search


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_searched_or_polished(name: str) -> None:
    recipe = import_module(f"cryospin.recipes.{name}").recipe()
    assert recipe.starts.choice.polish.steps == 0
    assert recipe.refinement.most_rounds == 0


def test_cryospins_numbers_are_the_papers() -> None:
    method = training_of("cryospin_paper")
    assert (method.heads, method.encoder.epochs, method.encoder.batch) == (7, 7, 64)
    assert (method.encoder.encoder_rate, method.encoder.volume_rate) == (1e-4, 0.05)
    assert method.direct is not None
    assert (method.direct.epochs, method.direct.pose_updates) == (13, 5)
    assert (method.direct.pose_rate, method.direct.volume_rate) == (0.05, 0.02)
    real = training_of("cryospin_paper_real")
    assert real.direct is not None
    assert (real.heads, real.encoder.epochs, real.direct.epochs) == (15, 15, 15)


@pytest.mark.parametrize(
    ("name", "candidates", "implicit"),
    [
        ("amortized", 7, False),
        ("cryoai", 2, True),
        ("cryoai_explicit", 2, False),
        ("cryoposenet", 1, False),
    ],
)
def test_the_others_infer_by_the_encoder_alone(name: str, candidates: int, implicit: bool) -> None:
    method = training_of(name)
    assert method.direct is None and method.encoder.epochs == 20
    assert (method.candidates, method.implicit) == (candidates, implicit)
