"""Orientations from pairs, measured: what the reviewers of the published method asked for.

Every row is kept as it is measured (pairs.jsonl), so that an interrupted benchmark goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cryospin.bench.ledger import Ledger, Row
from cryospin.bench.page import PAGES, Section, write_page
from cryospin.bench.pair_cases import CLEAN, PairCase, PairData, made, scored, solved
from cryospin.bench.pair_starts import START_NAMES, started
from cryospin.bench.pair_tables import (
    consistency_table,
    planted_table,
    spread_table,
    starts_table,
    twin_table,
)
from cryospin.bench.pair_twin import twin_row
from cryospin.bench.plan import Tell
from cryospin.bench.structures import Structure, model_file
from cryospin.errors import UsageError
from cryospin.io.outputs import Outputs, claimed
from cryospin.pairs.common_lines import CommonLineSolver
from cryospin.pairs.learned import LearnedSolver
from cryospin.pairs.planted import planted_common_lines
from cryospin.pairs.synchronise import Synchronisation
from cryospin.parallel import single_threaded_torch
from cryospin.rotations.align import align_rotations

LEDGER = "pairs.jsonl"
PARTS = (
    "planted", "unseen", "noise", "ctf", "shifts", "views", "boxes", "starts", "twin",
)  # fmt: skip
HELD_OUT = (
    "3sn6", "1igy", "5gjv", "3jb9", "7DDO", "adk_open", "1e6v:C2", "4zxb", "2cg9:C2", "1u6g",
)  # fmt: skip
"""Molecules the network has not learned from: it learns from made-up ones by default. The last
was looked at while the network was designed."""


@dataclass(frozen=True)
class PairPlan:
    """weights: files of trained networks, each a method of its own, named after its file.

    snrs: in the particle, of part `noise`; the middle one is that of the other noisy parts.
    """

    structures: tuple[Structure, ...]
    weights: tuple[Path, ...] = ()
    parts: tuple[str, ...] = PARTS
    seeds: tuple[int, ...] = (1, 2, 3)
    particles: int = 500
    box: int = 64
    snrs: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0)
    planted: int = 1000
    start_particles: int = 3000
    twin_steps: int = 6000

    def check(self) -> None:
        """Raises UsageError for a part that does not exist."""
        for part in self.parts:
            if part not in PARTS:
                raise UsageError(f"no part is called {part!r}\n  fix: {', '.join(PARTS)}")

    @property
    def solvers(self) -> dict[str, object]:
        """Methods by name; None: needs no solver."""
        learned = {f"learned: {path.stem}": LearnedSolver(path) for path in self.weights}
        return {
            "constant": None,
            "random": None,
            "common lines": CommonLineSolver(voting=False),
            "common lines, voted": CommonLineSolver(),
            **learned,
        }

    def case(self, structure: Structure, seed: int) -> PairCase:
        return PairCase(structure, self.particles, self.box, seed=seed)

    @property
    def usual_snr(self) -> float:
        return 0.5 if 0.5 in self.snrs else self.snrs[len(self.snrs) // 2]


def compare_pairs(
    plan: PairPlan, models: Path, out: Path, command: str, tell: Tell
) -> tuple[Path, Path]:
    """Everything the plan asks for; bench.md and bench.html, headed by `command`."""
    plan.check()
    for structure in plan.structures:
        model_file(structure.name, models)
    with claimed(out, Outputs(PAGES, (LEDGER,), ("data",))), single_threaded_torch():
        bench = _Bench(plan, models, out, Ledger(out / LEDGER), tell)
        sections = [section for part in plan.parts for section in getattr(bench, part)()]
        return write_page(out, "Orientations from pairs of images", command, sections)


@dataclass(frozen=True)
class _Bench:
    """One benchmark at work; a method for each part."""

    plan: PairPlan
    models: Path
    out: Path
    ledger: Ledger
    tell: Tell

    def planted(self) -> list[Section]:
        rows = []
        for seed in self.plan.seeds:
            key = f"planted/{self.plan.planted}/{seed}"
            rows.append(self.once(key, partial(planted_row, self.plan.planted, seed)))
        words = ("Common lines alone, half of them random, the others with 3 degrees of jitter.",)
        return [Section("Recovery alone, planted relations", words, (planted_table(rows),))]

    def unseen(self) -> list[Section]:
        rows: dict[str, list[Row]] = {"no noise": [], "noisy": []}
        for structure in self.plan.structures:
            for seed in self.plan.seeds:
                case = self.plan.case(structure, seed)
                rows["no noise"] += self.measured(case)
                noisy = replace(case, snr_in_particle=self.plan.usual_snr)
                rows["noisy"] += self.measured(noisy)
        words = (
            "Rotation error in degrees modulo rotation and hand (SVD, deterministic), over "
            "molecules and seeds. Success: mean error below 15 degrees.",
        )
        tables = tuple(spread_table(found, title) for title, found in rows.items())
        both = [row for found in rows.values() for row in found]
        told = "The share of an image's pairs that agree with it, and whether it is lost."
        return [
            Section("Unseen molecules", words, tables),
            Section("Does it know when it failed?", (told,), (consistency_table(both),)),
        ]

    def varied(self, title: str, cases: dict[str, PairCase], words: str) -> list[Section]:
        """One molecule, all seeds, one thing changed."""
        tables = []
        for name, case in cases.items():
            rows = [row for s in self.plan.seeds for row in self.measured(replace(case, seed=s))]
            tables.append(spread_table(rows, name))
        return [Section(title, (words,), tuple(tables))]

    @property
    def usual(self) -> PairCase:
        case = self.plan.case(self.plan.structures[0], self.plan.seeds[0])
        return replace(case, snr_in_particle=self.plan.usual_snr)

    def noise(self) -> list[Section]:
        levels = (*self.plan.snrs, CLEAN)
        cases = {f"SNR {snr:g}": replace(self.usual, snr_in_particle=snr) for snr in levels}
        words = "Rows of learned methods: a network for each range of noise it was trained with."
        return self.varied("Noise: trained x tested", cases, words)

    def ctf(self) -> list[Section]:
        cases = {"with CTF": self.usual, "without": replace(self.usual, ctf=False)}
        return self.varied("Contrast transfer", cases, "At the same SNR in the particle.")

    def shifts(self) -> list[Section]:
        box = self.plan.box
        cases = {
            f"{share:.0%} of the box": replace(self.usual, max_shift_pixel=share * box)
            for share in (0.0, 0.02, 0.05)
        }
        return self.varied("Unknown shifts", cases, "Uniform in a square, searched for.")

    def views(self) -> list[Section]:
        cases = {"all views": self.usual, "equator": replace(self.usual, views="equator")}
        words = "90 % of the views within 20 degrees of the equator."
        return self.varied("Preferred orientation", cases, words)

    def boxes(self) -> list[Section]:
        cases = {f"box {box}": replace(self.usual, box=box) for box in (64, 128)}
        return self.varied("Two box sizes", cases, "The same molecule, as large in its box.")

    def starts(self) -> list[Section]:
        rows = []
        case = replace(self.usual, particles=self.plan.start_particles)
        for seed in self.plan.seeds:
            for name in START_NAMES:
                seeded = replace(case, seed=seed)
                weights = self.plan.weights[0] if self.plan.weights else None
                work = partial(started, name, seeded, self.models, self.out / "data", weights)
                rows.append(self.once(f"starts/{seeded.label}/{name}", work))
        words = ("The same refinement of the same images from other starts.",)
        return [Section("Does the start help?", words, (starts_table(rows),))]

    def twin(self) -> list[Section]:
        rows = []
        for structure in self.plan.structures[:2]:
            for snr in (CLEAN, self.plan.usual_snr):
                case = replace(
                    self.plan.case(structure, self.plan.seeds[0]), snr_in_particle=snr, ctf=False
                )
                work = partial(twin_row, case, self.models, self.out / "data", self.plan.twin_steps)
                rows.append(self.once(f"twin/{case.label}/{self.plan.twin_steps}", work))
        words = (
            "Trained on images of the molecule itself, as published, judged on others of it. "
            "Published: 11.4 and 7.2 degrees without noise, 14.6 and 7.7 with noise, modulo O(4), "
            "which has more freedom than images leave; its maps were made after that alignment "
            "to the truth.",
        )
        return [Section("The published twin network", words, (twin_table(rows),))]

    def measured(self, case: PairCase) -> list[Row]:
        """A row for each method; images are made only if one is missing."""
        rows = []
        data: PairData | None = None
        for method, solver in self.plan.solvers.items():
            key = f"pairs/{case.label}/{method}"
            row = self.ledger.rows().get(key)
            if row is None:
                self.tell(key)
                data = data or made(case, self.models, self.out / "data")
                found, seconds = solved(data, method, solver)
                row = {"key": key, "method": method, **scored(case, data, found, seconds)}
                self.ledger.append(row)
            rows.append(row)
        return rows

    def once(self, key: str, work: Callable[[], Row]) -> Row:
        row = self.ledger.rows().get(key)
        if row is None:
            self.tell(key)
            row = {"key": key, **work()}
            self.ledger.append(row)
        return row


def planted_row(count: int, seed: int) -> Row:
    rotations, lines = planted_common_lines(count, wrong=0.5, jitter_degrees=3.0, seed=seed)
    began = time.perf_counter()
    found = Synchronisation().of_common_lines(lines)
    seconds = time.perf_counter() - began
    errors = align_rotations(found.rotations, rotations).errors_degrees
    return {
        "images": count,
        "seed": seed,
        "mean": float(errors.mean()),
        "median": float(errors.median()),
        "seconds": round(seconds, 2),
    }
