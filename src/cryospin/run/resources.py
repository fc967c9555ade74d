"""What a run computes on, and where its images are kept."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from cryospin.devices import AUTO, find_device, free_bytes
from cryospin.errors import ResourceError
from cryospin.io.run_folder import CHECKPOINTS
from cryospin.memory import memory_budget
from cryospin.particles.plan import MemoryPlan, card_plan, memory_plan
from cryospin.run.job import Job, Options
from cryospin.types import ParticleStack

_LEANER = "give a coarser --max-resolution, or smaller images (cryospin downsample)"


@dataclass(frozen=True)
class Resources:
    """from_file: images are read from a file again and again, instead of kept in memory.
    notes: what the user is told, a sentence each; the first is of the device."""

    device: torch.device
    from_file: bool
    notes: tuple[str, ...]


def resources_for(options: Options, stack: ParticleStack) -> Resources:
    """Where these particles are computed on and kept, and why.

    Raises
    ------
    UsageError: no such device.
    ResourceError: the card that was asked for has not the memory.
    """
    radius = kept_radius(options, stack)
    device, told = find_device(options.device)
    streams = options.recipe == "exhaustive" and options.classes == 1
    if device.type != "cpu":
        free = free_bytes(device)
        card = card_plan(len(stack), stack.box, radius, free)
        if card.bytes <= free:
            return Resources(device, False, (told,))
        if streams and card.fitting:
            room = f"it holds {card.fitting:,} of {len(stack):,} images: they are read from a file"
            return Resources(device, True, (told, room))
        short = (
            f"{device} has {free / 2**30:.1f} GiB of memory free; {len(stack):,} images take "
            f"{card.bytes / 2**30:.1f}, and {card.fitting:,} would fit"
        )
        if options.device != AUTO:
            raise ResourceError(f"{short}\n  fix: give --device cpu, or {_LEANER}")
        device, told = torch.device("cpu"), f"computing on the CPU: {short}"
    plan = memory_plan(len(stack), stack.box, radius)
    return Resources(device, *_kept(told, plan, memory_budget(options.memory_gb), streams))


def kept_radius(options: Options, stack: ParticleStack) -> float:
    """Fourier pixels to which images are kept."""
    if options.max_resolution_angstrom is None:
        return stack.box / 2
    return stack.box * stack.pixel_size_angstrom / options.max_resolution_angstrom


def _kept(told: str, plan: MemoryPlan, budget: int, streams: bool) -> tuple[bool, tuple[str, ...]]:
    """Whether images are read from a file, and the notes."""
    if plan.in_memory <= budget:
        return False, (told,)
    short = f"images in memory take about {_gb(plan.in_memory)}, and {_gb(budget)} are to be used"
    if not streams:
        only = "only --recipe exhaustive without --classes can read them from a file"
        return False, (told, f"{short} (--memory); {only}")
    notes = [told, f"{short} (--memory): they are read from a file of {_gb(plan.file)}"]
    if plan.from_file > budget:
        notes.append(f"even so about {_gb(plan.from_file)} of memory are needed; {_LEANER}")
    return True, tuple(notes)


def scratch_folder(job: Job, key: str, needed_bytes: int) -> Path:
    """Where the images' file goes: beside the checkpoints, or in a folder of its own below the one
    that was given, which has to be there.

    Raises
    ------
    ResourceError: no such folder, or not enough space.
    """
    given = job.options.scratch
    folder = job.out / CHECKPOINTS if given is None else given / f"{job.out.name}-{key[:12]}"
    disk = job.out if given is None else given
    if not disk.is_dir():
        raise ResourceError(f"{disk} is not a folder\n  fix: make it, or give another --scratch")
    there = sum(path.stat().st_size for path in folder.glob("*")) if folder.is_dir() else 0
    free = shutil.disk_usage(disk).free + there
    if free < needed_bytes:
        raise ResourceError(
            f"{disk} has {_gb(free)} free, and the images take {_gb(needed_bytes)}\n"
            "  fix: give a folder with more space (--scratch), or more memory (--memory)"
        )
    return folder


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
