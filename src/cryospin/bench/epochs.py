"""Table 2 and Figs. 3 to 6: explorers watched epoch by epoch, each in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from cryospin.bench import figures, head_figures, tables
from cryospin.bench.curves import Curves, Truth, curves_of, heads_of
from cryospin.bench.datasets import Dataset
from cryospin.bench.ledger import Ledger, Row
from cryospin.bench.oracle import Oracle
from cryospin.bench.page import Section
from cryospin.bench.plan import Plan, Tell
from cryospin.bench.pose_paths import landscapes, paths_figure
from cryospin.bench.processes import run_command
from cryospin.bench.runs import is_done, run_key
from cryospin.bench.watched import Watched
from cryospin.bench.watching import can_be_watched

SEMI, FULLY, FAST = "cryospin-paper", "amortized", "cryospin"
_EPOCHS_OF_FAST = (
    f"{FAST} has no epochs: one is here what lies between two looks at held-out images "
    "(100 batches of 256), and later a round of the direct stage."
)


@dataclass(frozen=True)
class EpochBench:
    """The explorers of a plan's recipes, on one data set."""

    plan: Plan
    out: Path
    ledger: Ledger
    tell: Tell

    def sections(self, dataset: Dataset, oracle: Oracle, rows: list[Row]) -> list[Section]:
        """Table 2 and Figs. 3 to 6, from explorers watched on one data set."""
        watched = {recipe: self.watched(dataset, recipe) for recipe in self.plan.recipes}
        sections, wanted = [], set(self.plan.parts)
        of = f"Explorers alone, on all images of {dataset.structure.name} as one set."
        if watched.get(FAST) is not None:
            of += f" {_EPOCHS_OF_FAST}"
        if "table2" in wanted:
            table = tables.cost_table(watched)
            sections.append(Section("Table 2: cost by method", (of,), (table,)))
        seen = {recipe: told for recipe, told in watched.items() if told is not None}
        if not wanted - {"table2"} or not (seen or rows):
            return sections
        truth = Truth.of(dataset, next(iter(seen.values())).uids) if seen else None
        curves: dict[str, Curves] = {}
        if truth is not None and {"fig3", "fig4"} & wanted:
            curves = {recipe: curves_of(told, truth) for recipe, told in seen.items()}
        if "fig3" in wanted:
            ends = {row["recipe"]: row for row in rows}
            best = {
                "median": oracle.median_degrees,
                "fsc_0.5_angstrom": oracle.map["fsc_0.5_angstrom"],
            }
            path = figures.time_figure(curves, ends, best, self.out / "fig3_time.svg")
            sections.append(
                Section("Fig. 3: resolution and error against time", (of,), (), (path,))
            )
        if truth is not None and "fig4" in wanted:
            sections += [self.epochs(seen, curves), self.paths(seen, truth)]
        if truth is not None and {"fig5", "fig6"} & wanted:
            sections += self.heads(seen, truth)
        return sections

    def watched(self, dataset: Dataset, recipe: str) -> Watched | None:
        """The explorer of a recipe, watched in a process of its own; None if it has no epochs.

        Past the limit, what epochs there were.
        """
        if not can_be_watched(recipe):
            return None
        path = self.out / "watched" / dataset.label / f"{recipe}.npz"
        key = f"watched/{run_key(dataset, self.plan.method(recipe, dataset.seed))}"
        key += f"/{self.plan.most_epochs or 'all'}"
        if not (path.exists() and is_done(self.ledger.rows().get(key), self.plan.limit_minutes)):
            self.tell(f"watching {recipe} on {dataset.structure.name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            minutes = self.plan.limit_minutes
            # it stops by itself at the end of an epoch, unless that takes very long
            limit = None if minutes is None else 120.0 * minutes + 60.0
            ended = run_command(*self._words(dataset, recipe, path), limit_seconds=limit)
            over = minutes is not None and ended.seconds > 60.0 * minutes
            row = {"key": key, "exit": ended.exit_code, "over_minutes": minutes if over else None}
            self.ledger.append(row | {"complaint": ended.complaint})
            if ended.exit_code:
                self.tell(f"  failed: {ended.complaint}")
        return Watched.read(path) if path.exists() else None

    def _words(self, dataset: Dataset, recipe: str, path: Path) -> list[object]:
        """The command line after `cryospin`."""
        words: list[object] = ["bench", "epochs", dataset.particles, "--out", path]
        words += ["--recipe", recipe, "--seed", dataset.seed]
        words += ["--max-shift", dataset.conditions.max_shift_pixel]
        for name, value in (
            ("--epochs", self.plan.most_epochs),
            ("--threads", self.plan.threads),
            ("--max-minutes", self.plan.limit_minutes),
        ):
            words += [] if value is None else [name, value]
        return words

    def epochs(self, seen: dict[str, Watched], curves: dict[str, Curves]) -> Section:
        """Fig. 4; the paper's method and its ablation share their state up to the switch."""
        pair = {name: told for name, told in curves.items() if name in (SEMI, FULLY)}
        branch = shared_epochs(seen[SEMI], seen[FULLY]) if len(pair) == 2 else None
        path = figures.epoch_figure(pair or curves, branch, self.out / "fig4_epochs.svg")
        words = "Recipes started from one seed."
        if not pair and FAST in seen:
            words += f" {_EPOCHS_OF_FAST}"
        if len(pair) == 2:
            ends = (f"{name} {told.median_degrees[-1]:.2f}" for name, told in pair.items())
            last = f"Median error at the end, degrees: {', '.join(ends)}."
            if not branch:
                words = f"The two share no epoch: the gap is not the branch's alone. {last}"
            elif branch < min(len(told.seconds) for told in pair.values()):
                words = (
                    f"Poses of the two are the same to the last bit for {branch} epochs: they "
                    f"branch from one state. {last}"
                )
            else:
                words = f"One was ended after {branch} epochs, before the two part."
        return Section("Fig. 4: error per epoch", (words,), (), (path,))

    def paths(self, seen: dict[str, Watched], truth: Truth) -> Section:
        """Fig. 4, its lower half."""
        path = paths_figure(landscapes(seen, truth), self.out / "fig4_paths.svg")
        words = (
            "Log-posterior of single images over view directions, in the true map, around the "
            "true view (cross); where each recipe's pose went, epoch by epoch, and ended (dot)."
        )
        return Section("Fig. 4: paths of poses", (words,), (), (path,))

    def heads(self, seen: dict[str, Watched], truth: Truth) -> list[Section]:
        sections = []
        for recipe, told in seen.items():
            heads = heads_of(told, truth)
            if heads is None or heads.errors_degrees.shape[1] < 2:
                continue
            if "fig5" in self.plan.parts:
                path = head_figures.heads_figure(heads, self.out / f"fig5_heads_{recipe}.svg")
                words = ("Candidates (dots), the winner's (ring) and the true view (cross).",)
                sections.append(Section(f"Fig. 5: heads of {recipe}", words, (), (path,)))
            if "fig6" in self.plan.parts:
                path = head_figures.head_error_figure(heads, self.out / f"fig6_heads_{recipe}.svg")
                title = f"Fig. 6: error of each head of {recipe} over the sphere"
                sections.append(Section(title, (), (), (path,)))
        return sections


def shared_epochs(one: Watched, other: Watched) -> int:
    """Leading epochs whose poses are the same to the last bit."""
    count = min(len(one.epochs), len(other.epochs))
    for epoch in range(count):
        if not torch.equal(one.rotations[epoch], other.rotations[epoch]):
            return epoch
    return count
