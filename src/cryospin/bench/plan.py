"""What a benchmark compares, on what, for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryospin.bench.datasets import Conditions
from cryospin.bench.runs import Method
from cryospin.bench.structures import Structure
from cryospin.errors import UsageError
from cryospin.recipes import find_recipe

PARTS = ("table1", "table2", "speed", "fig2", "fig3", "fig4", "fig5", "fig6")
WATCHED_PARTS = frozenset({"table2", "fig3", "fig4", "fig5", "fig6"})

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is compared, on what, for how long. The first structure and seed are watched.

    limit_minutes: for each recipe and structure. most_epochs: of a watched explorer.
    pose_counts: numbers of poses whose cost is measured.
    """

    conditions: Conditions
    recipes: tuple[str, ...]
    structures: tuple[Structure, ...]
    seeds: tuple[int, ...] = (1,)
    parts: tuple[str, ...] = PARTS
    limit_minutes: float | None = None
    most_epochs: int | None = None
    device: str = "cpu"
    threads: int | None = None
    pose_counts: tuple[int, ...] = (10_000, 100_000, 1_000_000)

    def check(self) -> None:
        """Raises UsageError for a part or a recipe that does not exist."""
        for part in self.parts:
            if part not in PARTS:
                raise UsageError(f"no part is called {part!r}\n  fix: {', '.join(PARTS)}")
        for recipe in self.recipes:
            find_recipe(recipe)

    def method(self, recipe: str, seed: int) -> Method:
        # methods are told what is known of the images, centred ones included
        return Method(recipe, seed, self.conditions.max_shift_pixel, self.device, self.threads)
