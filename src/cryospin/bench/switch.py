"""The automatic switch of recipe `cryospin` against fixed ones, branched off one training.

At each fixed step, and where the rule would switch, the direct stage is run from the state as it
is; the training then goes on as if nothing had been. So what differs is the moment alone. What
the encoder itself says at that moment is the fully amortised method: the paper's Fig. 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cryospin.bench.curves import Truth
from cryospin.bench.datasets import Conditions, Dataset, simulated
from cryospin.bench.figures import switch_figure
from cryospin.bench.ledger import Ledger, Row
from cryospin.bench.page import PAGES, Section, write_page
from cryospin.bench.structures import Structure
from cryospin.bench.tables import Table, number, share
from cryospin.explore.setting import Setting
from cryospin.explore.winner_search import EncoderState
from cryospin.io.outputs import Outputs, claimed
from cryospin.io.relion import read_particles
from cryospin.parallel import single_threaded_torch, together
from cryospin.particles.diameter import particle_size
from cryospin.particles.prepare import prepare_particles
from cryospin.recipes import cryospin
from cryospin.reconstruct.semi_amortised import SemiAmortised
from cryospin.reconstruct.switching import Check

LEDGER, FIGURE = "switch.jsonl", "fig4_switch.svg"
_LOST_DEGREES = 10.0
_WITHIN = 1.05  # of the best fixed moment
_POSES = {"encoder": "encoder_degrees", "after the direct stage": "median_degrees"}


@dataclass(frozen=True)
class SwitchPlan:
    """steps: the fixed moments. Half of the particles of each dataset are one training's."""

    structures: tuple[Structure, ...]
    conditions: tuple[Conditions, ...]
    steps: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Moment:
    """Where a switch at `step` leads: rotation error, and the share beyond 10 degrees.

    encoder_degrees: the median error without a switch, of the best head's poses.
    """

    step: int
    encoder_degrees: float
    median_degrees: float
    beyond_10: float


def compare_switches(
    plan: SwitchPlan, models: Path, out: Path, command: str, tell: Callable[[str], None]
) -> Path:
    """Markdown page in `out`; two trainings run at a time. Finished ones are not run again."""
    labels = [
        c.label(structure, plan.seed) for c in plan.conditions for structure in plan.structures
    ]
    with claimed(out, Outputs((*PAGES, FIGURE), (LEDGER,), tuple(labels))):
        return _compare(plan, models, out, command, tell)


def _compare(
    plan: SwitchPlan, models: Path, out: Path, command: str, tell: Callable[[str], None]
) -> Path:
    ledger = Ledger(out / LEDGER)
    datasets = [
        simulated(
            structure, conditions, plan.seed, models, out / conditions.label(structure, plan.seed)
        )
        for conditions in plan.conditions
        for structure in plan.structures
    ]
    waiting = [dataset for dataset in datasets if dataset.label not in ledger.rows()]
    with single_threaded_torch():
        for first in range(0, len(waiting), 2):
            pair = waiting[first : first + 2]
            tell("switch: " + ", ".join(dataset.label for dataset in pair))
            jobs = [partial(branched, dataset, plan, of_recipe()) for dataset in pair]
            for row in together(jobs):
                ledger.append(row)
    rows = [ledger.rows()[dataset.label] for dataset in datasets]
    words = (
        "Median rotation error in degrees after the direct stage (share of particles beyond 10 "
        "degrees), one half-set, modulo the symmetry.",
    )
    section = Section("The moment to switch", words, (switch_table(rows, plan.steps),))
    gap_words = (
        "Median rotation error in degrees of the encoder's own poses, and of the same state's "
        "after the direct stage.",
    )
    gap = Section(
        "Fig. 4: semi- against fully amortised, branched from the same states",
        gap_words,
        (gap_table(rows, plan.steps),),
        (switch_figure({_title(row): row["fixed"] for row in rows}, out / FIGURE),),
    )
    return write_page(out, "cryospin bench switch", command, [section, gap])[0]


def of_recipe() -> SemiAmortised:
    method = cryospin.recipe().starts.search
    assert isinstance(method, SemiAmortised)
    return method


def branched(dataset: Dataset, plan: SwitchPlan, method: SemiAmortised) -> Row:
    """One training, left to run to the last fixed step, with a direct stage at each moment."""
    stack = read_particles(dataset.particles)
    shift_range = dataset.conditions.max_shift_pixel
    size = particle_size(stack, plan.seed, shift_range)
    particles = prepare_particles(
        stack.select(np.arange(0, len(stack), 2)),
        mask_diameter_angstrom=size.mask_diameter_angstrom,
        seed=plan.seed,
    )
    support = size.support_radius(stack.box * stack.pixel_size_angstrom)
    setting = Setting(torch.eye(3)[None], shift_range, support, plan.seed, plan.seed)
    truth = Truth.of(dataset, particles.uids)
    state, unseen = method.begun(particles, setting)
    moments, automatic, checks = [], None, list[Check]()
    before = None
    while state.steps < max(plan.steps) or automatic is None:
        for _ in range(method.switch.every):
            state.step()
        check, before = method.checked(state, unseen, before)
        checks.append(check)
        now = automatic is None and method.switch.says(checks, method.search.march)
        if not now and state.steps not in plan.steps:
            continue
        reached = moment(method, state, truth)
        if now:
            automatic = reached
        if state.steps in plan.steps:
            moments.append(reached)
    return {
        "key": dataset.label,
        "structure": dataset.structure.title,
        "snr": dataset.conditions.snr,
        "automatic": vars(automatic),
        "fixed": [vars(reached) for reached in moments],
        "checks": [vars(check) for check in checks],
    }


def moment(method: SemiAmortised, state: EncoderState, truth: Truth) -> Moment:
    errors = truth.aligned(method.finished(state)[0].rotations).errors_degrees
    before = truth.aligned(method.winners(state)[0]).errors_degrees
    lost = float((errors > _LOST_DEGREES).double().mean())
    return Moment(state.steps, float(before.median()), float(errors.median()), lost)


def switch_table(rows: list[Row], steps: tuple[int, ...]) -> Table:
    header = ("structure", "SNR", *map(str, steps), "automatic", "at step", "within 5 % of best")
    lines = []
    for row in rows:
        fixed = {found["step"]: found for found in row["fixed"]}
        automatic = row["automatic"]
        best = min(found["median_degrees"] for found in row["fixed"])
        lines.append(
            (
                row["structure"],
                f"{row['snr']:g}",
                *(_words(fixed.get(step)) for step in steps),
                _words(automatic),
                str(automatic["step"]),
                "yes" if automatic["median_degrees"] <= _WITHIN * best else "no",
            )
        )
    return Table(header, tuple(lines))


def gap_table(rows: list[Row], steps: tuple[int, ...]) -> Table:
    header = ("structure", "SNR", "poses", *map(str, steps))
    lines = []
    for row in rows:
        fixed = {found["step"]: found for found in row["fixed"]}
        for words, field in _POSES.items():
            errors = (fixed[step][field] if step in fixed else None for step in steps)
            lines.append((row["structure"], f"{row['snr']:g}", words, *map(number, errors)))
    return Table(header, tuple(lines))


def _title(row: Row) -> str:
    return f"{row['structure']}, SNR {row['snr']:g}"


def _words(found: Row | None) -> str:
    if found is None:
        return number(None)
    return f"{number(found['median_degrees'])} ({share(found['beyond_10'])})"
