"""The paper's tables and figures from commands: every method on the same simulated images.

Each run is kept as it finishes (results.jsonl), so that an interrupted benchmark goes on
where it was. Figures are drawn from what there is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from cryospin.bench import figures, tables
from cryospin.bench.datasets import Dataset, simulated
from cryospin.bench.epochs import EpochBench
from cryospin.bench.ledger import Ledger, Row
from cryospin.bench.oracle import Oracle, oracle_of
from cryospin.bench.page import PAGES, Section, write_page
from cryospin.bench.plan import WATCHED_PARTS, Plan, Tell
from cryospin.bench.runs import is_done, measured, run_key
from cryospin.bench.speed import PoseCost, Speed, direct_stage, encoder_stage, pose_cost
from cryospin.bench.structures import Structure, model_file
from cryospin.io.outputs import Outputs, claimed
from cryospin.io.relion import read_particles
from cryospin.particles.prepare import prepare_particles

LEDGER = "results.jsonl"
_SPEED_IMAGES = 5000


def compare(plan: Plan, models: Path, out: Path, command: str, tell: Tell) -> tuple[Path, Path]:
    """Everything the plan asks for; bench.md and bench.html, headed by `command`."""
    plan.check()
    for structure in plan.structures:
        model_file(structure.name, models)  # all there, before the first hour is spent
    with claimed(out, _outputs(plan)):
        bench = _Bench(plan, models, out, Ledger(out / LEDGER), tell)
        sections = bench.sections()
        return write_page(out, "Methods side by side", command, sections, device=plan.device)


def _outputs(plan: Plan) -> Outputs:
    heads = [f"{figure}_heads_{r}.svg" for figure in ("fig5", "fig6") for r in plan.recipes]
    figures = ("fig2_fsc.svg", "fig3_time.svg", "fig4_epochs.svg", "fig4_paths.svg", *heads)
    return Outputs((*PAGES, *figures), (LEDGER,), ("data", "oracle", "runs", "watched"))


@dataclass(frozen=True)
class _Bench:
    """One benchmark at work."""

    plan: Plan
    models: Path
    out: Path
    ledger: Ledger
    tell: Tell

    def sections(self) -> list[Section]:
        found: list[tuple[Dataset, Oracle, list[Row]]] = []
        for structure in self.plan.structures:
            for seed in self.plan.seeds:
                found.append(self.compared(structure, seed))
        sections = [self.errors(found)]
        if "fig2" in self.plan.parts:
            sections += self.fsc_curves(found)
        if WATCHED_PARTS & set(self.plan.parts):
            bench = EpochBench(self.plan, self.out, self.ledger, self.tell)
            sections += bench.sections(*found[0])
        if "speed" in self.plan.parts:
            sections.append(self.speed(found[0][0]))
        return sections

    def compared(self, structure: Structure, seed: int) -> tuple[Dataset, Oracle, list[Row]]:
        """A data set, its oracle, and the rows of all recipes (those there are, where Table 1
        is not asked for)."""
        label = self.plan.conditions.label(structure, seed)
        self.tell(f"images of {structure.title}")
        folder = self.out / "data" / label
        dataset = simulated(structure, self.plan.conditions, seed, self.models, folder)
        oracle = oracle_of(dataset, self.out / "oracle" / label)
        rows = []
        for recipe in self.plan.recipes:
            method = self.plan.method(recipe, seed)
            row = self.ledger.rows().get(run_key(dataset, method))
            if "table1" in self.plan.parts and not is_done(row, self.plan.limit_minutes):
                self.tell(f"{recipe} on {structure.name}, seed {seed}")
                place = self.out / "runs" / label / recipe
                row = measured(dataset, method, oracle, place, self.plan.limit_minutes)
                self.ledger.append(row)
                self.tell(f"  {tables.outcome(row)}, {row['seconds']:.0f} s")
            rows += [row] if row else []
        return dataset, oracle, rows

    def errors(self, found: list[tuple[Dataset, Oracle, list[Row]]]) -> Section:
        conditions = self.plan.conditions
        centred = (
            "centred"
            if not conditions.max_shift_pixel
            else (f"shifts to {conditions.max_shift_pixel:g} pixels")
        )
        words = (
            f"{conditions.particles:,} images of {conditions.box}x{conditions.box}, "
            f"SNR {conditions.snr:g}, CTF {conditions.ctf_from}, {centred}, "
            f"views {conditions.views}. Errors are after the best "
            "global rotation and hand, modulo the symmetry named (it is not imposed); shift "
            "errors are of the particles within 10 degrees.",
            "; ".join(structure.title for structure in self.plan.structures) + ".",
        )
        lines = [(d.structure, d.seed, rows, oracle) for d, oracle, rows in found]
        return Section("Table 1: errors by method", words, (tables.error_table(lines),))

    def fsc_curves(self, found: list[tuple[Dataset, Oracle, list[Row]]]) -> list[Section]:
        rows: dict[str, list[Row]] = {}
        oracles: dict[str, Row] = {}
        for dataset, oracle, measured_rows in found:
            if any(row["fsc"] is not None for row in measured_rows):
                rows.setdefault(dataset.structure.title, []).extend(measured_rows)
                oracles[dataset.structure.title] = oracle.map
        if not rows:
            return []
        path = figures.fsc_figure(rows, oracles, self.out / "fig2_fsc.svg")
        return [Section("Fig. 2: FSC to the truth", (), (), (path,))]

    def speed(self, dataset: Dataset) -> Section:
        """Ratios, measured once and kept."""
        key = f"speed/{dataset.label}/{self.plan.device}"
        row = self.ledger.rows().get(key)
        if row is None:
            self.tell("speed of the stages")
            stack = read_particles(dataset.particles)
            count = min(_SPEED_IMAGES, len(stack))
            particles = prepare_particles(stack.select(np.arange(count)))
            speeds = [direct_stage(particles), encoder_stage(particles)]
            row = {
                "key": key,
                "speeds": [asdict(speed) for speed in speeds],
                "pose_cost": [asdict(cost) for cost in pose_cost(self.plan.pose_counts)],
                "threads": torch.get_num_threads(),
            }
            self.ledger.append(row)
        speeds = [Speed(**speed) for speed in row["speeds"]]
        costs = [PoseCost(**cost) for cost in row["pose_cost"]]
        words = (
            f"In one process, by turns, {row['threads']} threads, full box. The second table is "
            "of poses alone: gradients are given, no image is looked at.",
        )
        both = tables.speed_table(speeds), tables.pose_cost_table(costs)
        return Section("Speed", words, both)
