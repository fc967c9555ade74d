"""What runs of a campaign leave, made up: one molecule seen in several frames, or another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from campaign_toys import DEFAULTS
from cryospin.campaign.plan import Campaign, planned, write_campaign
from cryospin.io.mrc import write_map
from cryospin.io.relion import write_new_particles
from cryospin.io.run_folder import NOT_CONVERGED
from cryospin.optics import CtfParameters, Optics
from cryospin.simulate.molecule import chain_molecule
from cryospin.types import Classes, DensityMap, Poses
from cryospin.volumes.alignment import MapAlignment, apply_alignment, poses_after_alignment
from cryospin.volumes.masks import soft_mask
from phantoms import random_turns

COUNT, BOX, PIXEL = 40, 24, 6.0
CLAIMED = 16.0


def molecule(seed: int = 1) -> DensityMap:
    values = chain_molecule(seed, domains=2, residues_per_domain=30).voxelize(BOX, PIXEL)
    return DensityMap(torch.as_tensor(values).float(), PIXEL)


def poses(seed: int = 1, count: int = COUNT) -> Poses:
    generator = torch.Generator().manual_seed(seed)
    shifts = 5.0 * torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return Poses(random_turns(count, seed), shifts, torch.ones(count))


def placement(seed: int, flipped: bool) -> MapAlignment:
    shift = torch.tensor([4.0, -3.0, 7.0], dtype=torch.float64)
    return MapAlignment(random_turns(1, seed)[0].double(), shift, flipped, 1.0)


def seen_otherwise(seed: int, flipped: bool) -> tuple[DensityMap, Poses]:
    """The molecule of seed 1 and its particles in another frame."""
    there = placement(seed, flipped)
    return apply_alignment(molecule(), there), poses_after_alignment(poses(), there)


def made_up(
    folder: Path, runs: int, classes: tuple[int | str, ...] = (1,), particles: str = "gone.star"
) -> Campaign:
    folder.mkdir(parents=True)
    campaign = Campaign(folder, folder.parent / particles, DEFAULTS, planned(runs, classes))
    write_campaign(campaign)
    return campaign


def write_run(
    folder: Path,
    density: DensityMap,
    seen: Poses,
    *,
    verdict: str = "converged",
    resolution: float = CLAIMED,
) -> None:
    """A run that has ended. density: its map. seen: the poses of its particles."""
    place = folder if verdict == "converged" else folder / NOT_CONVERGED
    write_maps(place, density)
    write_table(place / "particles.star", seen)
    claimed = resolution if verdict == "converged" else None
    told = {
        "verdict": verdict,
        "symmetry": "C1",
        "resolution_angstrom": {"fsc_0.143": claimed, "fsc_0.5": claimed},
        "evidence": [{"name": "poses found again in the other half's map", "value": 0.9}],
    }
    (folder / "result.json").write_text(json.dumps(told))


def write_classes(folder: Path, found: list[tuple[DensityMap, Poses]], number: np.ndarray) -> None:
    """A run with classes that has ended; number: of each particle, -1 for none."""
    seen = poses()
    for label, (density, own) in enumerate(found):
        write_maps(folder / f"class_{label + 1:02d}", density)
        members = torch.as_tensor(number == label)
        seen.rotations[members] = own.rotations[members].to(seen.rotations)
        seen.shifts_angstrom[members] = own.shifts_angstrom[members].to(seen.shifts_angstrom)
    posterior = torch.zeros(len(number), len(found))
    for row, label in enumerate(number.tolist()):
        posterior[row, label] = float(label >= 0)
    write_table(folder / "particles.star", seen, Classes(torch.as_tensor(number), posterior))
    told: dict[str, Any] = {"verdict": "converged", "symmetry": "C1"}
    told["classes"] = [
        {"folder": f"class_{label + 1:02d}", "resolution_angstrom": {"fsc_0.143": CLAIMED}}
        for label in range(len(found))
    ]
    (folder / "result.json").write_text(json.dumps(told))


def write_maps(place: Path, density: DensityMap) -> None:
    place.mkdir(parents=True)
    write_map(place / "map.mrc", density)
    write_map(place / "mask.mrc", soft_mask(density))


def write_table(path: Path, seen: Poses, classes: Classes | None = None) -> None:
    count = len(seen)
    ones = torch.ones(count, dtype=torch.float64)
    ctf = CtfParameters(
        1e4 * ones, 1e4 * ones, 0 * ones, 0 * ones, 300 * ones, 2.7 * ones, 0.1 * ones
    )
    names = [f"{number:06d}@particles.mrcs" for number in range(1, count + 1)]
    optics = (Optics("one", PIXEL, 300.0, 2.7, 0.1),)
    more: dict[str, Any] = {} if classes is None else {"classes": classes}
    halves = np.arange(count) % 2 + 1
    write_new_particles(
        path, names, optics, BOX, np.zeros(count, int), ctf, seen, half_set=halves, **more
    )
