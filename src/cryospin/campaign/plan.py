"""The jobs of a campaign, as jobs.json in its folder describes them.

Nothing heavy is imported here: a folder that is no campaign is told at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryospin.errors import BadDataError, UsageError
from cryospin.io.atomic import atomic_path
from cryospin.io.outputs import Outputs
from cryospin.run.job import Options
from cryospin.version import installed_version

JOBS, ARRAY, JOIN, JOINED = "jobs.json", "array.sh", "join.sh", "joined.json"
BEST, CLAIMS, LOGS = "best", "claims", "logs"
FORMAT = 1
"""Of jobs.json. A campaign of another one is refused."""


def plan_outputs(with_scripts: bool) -> Outputs:
    """What `launch` writes into the folder; scripts that it does not write anew may be edited."""
    scripts = (ARRAY, JOIN) if with_scripts else ()
    return Outputs(files=(JOBS, *scripts), folders=(CLAIMS, LOGS))


COMMON = (
    "recipe",
    "junk",
    "symmetry",
    "particle_diameter_angstrom",
    "max_resolution_angstrom",
    "max_shift_angstrom",
    "initial_map",
    "initial_lowpass_angstrom",
    "deterministic",
    "invert_contrast",
    "allow_bad",
)
"""Options of a run that are those of the whole campaign; how it is computed, the worker says."""


@dataclass(frozen=True)
class PlannedRun:
    """One job. number: from 1, as Slurm counts the tasks of an array."""

    number: int
    seed: int
    classes: int | str

    @property
    def name(self) -> str:
        """Of its run's folder."""
        return f"{group_prefix(self.classes)}seed-{self.seed}"


def group_prefix(classes: int | str) -> str:
    """What the names of all runs with so many classes begin with."""
    return "" if classes == 1 else f"classes-{classes}-"


@dataclass(frozen=True)
class Campaign:
    """options: values of COMMON, ready for JSON but for paths, which lead somewhere."""

    folder: Path
    particles: Path
    options: Mapping[str, Any]
    runs: tuple[PlannedRun, ...]

    def folder_of(self, run: PlannedRun) -> Path:
        return self.folder / run.name

    def run(self, number: int) -> PlannedRun:
        """Raises UsageError where there is no job of this number."""
        if not 1 <= number <= len(self.runs):
            problem = f"{self.folder} has jobs 1 to {len(self.runs)}, and no {number}"
            raise UsageError(f"{problem}\n  fix: give one of these (--job)")
        return self.runs[number - 1]

    def asked(
        self,
        run: PlannedRun,
        device: str = "auto",
        threads: int | None = None,
        batch_size: int = 500,
        memory_gb: float | None = None,
        scratch: Path | None = None,
    ) -> Options:
        """All options of a run. Raises UsageError where they cannot be."""
        return Options(
            **self.options,
            seed=run.seed,
            classes=run.classes,
            device=device,
            threads=threads,
            batch_size=batch_size,
            memory_gb=memory_gb,
            scratch=scratch,
        )


def planned(
    seeds: int, classes: Sequence[int | str], before: Sequence[PlannedRun] = ()
) -> tuple[PlannedRun, ...]:
    """Seeds 1 to `seeds` for each number of classes; jobs of `before` keep their numbers."""
    known = {(run.seed, run.classes) for run in before}
    wanted = [(seed, each) for each in classes for seed in range(1, seeds + 1)]
    new = [one for one in dict.fromkeys(wanted) if one not in known]
    numbered = enumerate(new, len(before) + 1)
    return (*before, *(PlannedRun(number, seed, each) for number, (seed, each) in numbered))


def write_campaign(campaign: Campaign) -> None:
    """Write jobs.json; paths count from the folder, so that another machine may mount it elsewhere.

    Raises
    ------
    ResourceError: the disk does not take it.
    """
    initial = campaign.options["initial_map"]
    content = {
        "program": "cryospin",
        "version": installed_version(),
        "format": FORMAT,
        "particles": _from_folder(campaign.particles, campaign.folder),
        "options": {
            **campaign.options,
            "initial_map": None if initial is None else _from_folder(initial, campaign.folder),
        },
        "jobs": [asdict(run) for run in campaign.runs],
    }
    with atomic_path(campaign.folder / JOBS) as temporary:
        temporary.write_text(json.dumps(content, indent=1))


def read_campaign(folder: Path) -> Campaign:
    """The campaign in `folder`.

    Raises
    ------
    BadDataError: there is none, it is damaged, or another version of cryospin wrote it.
    UsageError: its options are none of a run.
    """
    path = folder / JOBS
    fix = "give a folder that `cryospin launch` wrote"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadDataError(f"cannot be read: {error.strerror}", file=path, fix=fix) from None
    except ValueError as error:
        raise BadDataError(f"not the jobs of a campaign: {error}", file=path, fix=fix) from None
    if not isinstance(told, dict) or told.get("program") != "cryospin":
        raise BadDataError("not the jobs of a campaign", file=path, fix=fix)
    if told.get("format") != FORMAT:
        problem = (
            f"cryospin {told.get('version')} wrote it in format {told.get('format')}, "
            f"and this is {installed_version()}, which reads format {FORMAT}"
        )
        raise BadDataError(problem, file=path, fix="use that version, or launch another campaign")
    try:
        campaign = _campaign_of(folder, told)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadDataError(
            f"damaged: {type(error).__name__} {error}",
            file=path,
            fix="give cryospin launch the same arguments again after removing it; "
            "runs that are there are gone on with",
        ) from None
    campaign.asked(campaign.runs[0])
    return campaign


def _campaign_of(folder: Path, told: dict[str, Any]) -> Campaign:
    options = {name: told["options"][name] for name in COMMON}
    if options["initial_map"] is not None:
        options["initial_map"] = _in_folder(options["initial_map"], folder)
    runs = tuple(PlannedRun(**entry) for entry in told["jobs"])
    for place, run in enumerate(runs, 1):
        sound = isinstance(run.seed, int) and isinstance(run.classes, int | str)
        if not sound or run.number != place or "/" in run.name:
            raise ValueError(f"in job {place}")
    if not runs:
        raise ValueError("no jobs")
    if len({run.name for run in runs}) < len(runs):
        raise ValueError("two jobs of one name")
    return Campaign(folder, _in_folder(told["particles"], folder), options, runs)


def _from_folder(path: Path, folder: Path) -> str:
    """Counted from where the folder really is, past links."""
    return os.path.relpath(os.path.abspath(path), os.path.realpath(folder))


def _in_folder(name: str, folder: Path) -> Path:
    return Path(os.path.normpath(os.path.join(os.path.realpath(folder), name)))
