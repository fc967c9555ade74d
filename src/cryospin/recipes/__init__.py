"""Each method as one page: which parts, which numbers, which equations of which paper."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

from cryospin.errors import UsageError
from cryospin.reconstruct.abinitio import AbInitio

RECIPES = (
    "exhaustive",
    "cryospin",
    "cryospin-paper",
    "cryospin-paper-real",
    "amortized",
    "cryoai",
    "cryoai-explicit",
    "cryoposenet",
    "branch-and-bound",
    "common-lines",
    "pairwise",
)


def find_recipe(name: str) -> AbInitio:
    """The recipe of that name. Raises UsageError with the nearest name there is."""
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, n=1) or [RECIPES[0]]
        raise UsageError(f"no recipe is called {name!r}\n  fix: did you mean {near[0]}?")
    return import_module(f"cryospin.recipes.{name.replace('-', '_')}").recipe()
