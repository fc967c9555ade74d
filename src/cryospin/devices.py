"""Where to compute: the CPU, or a card that can."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cryospin.errors import ResourceError, UsageError
from cryospin.torchrun import rank_on_this_machine

if TYPE_CHECKING:
    import torch

AUTO = "auto"
_LEAST_CAPABILITY = (7, 0)  # what Triton compiles for
_LEAST_BYTES = 2 * 2**30


def check_device_name(name: str) -> None:
    """Raises UsageError unless it is auto, cpu, cuda or cuda:N."""
    kind, _, number = name.partition(":")
    if name in (AUTO, "cpu", "cuda") or (kind == "cuda" and number.isdigit()):
        return
    raise UsageError(f"no device {name}\n  fix: give auto, cpu, cuda or cuda:N")


def find_device(name: str) -> tuple[torch.device, str]:
    """The device, and in a sentence which it is; for `auto`, also why it is no card.

    Raises
    ------
    UsageError: no such name, or no such card.
    ResourceError: the card that was asked for cannot be used.
    """
    import torch

    check_device_name(name)
    if name == "cpu":
        return torch.device("cpu"), "computing on the CPU"
    number = int(
        name.partition(":")[2] or rank_on_this_machine() % max(1, torch.cuda.device_count())
    )
    if problem := _not_to_be_used(number):
        if name != AUTO:
            missing = "no card" in problem
            error = UsageError if missing else ResourceError
            raise error(f"--device {name}: {problem}\n  fix: leave it out, or give --device cpu")
        return torch.device("cpu"), f"computing on the CPU: {problem}"
    device = torch.device("cuda", number)
    return device, f"computing on {torch.cuda.get_device_name(device)} ({device})"


def free_bytes(device: torch.device) -> int:
    """Of the card's memory."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free


def _not_to_be_used(number: int) -> str | None:
    """What is wrong with a card, if anything."""
    import torch

    if torch.version.cuda is None:
        return "no card can be used: this torch is built for CPUs alone"
    if not torch.cuda.is_available():
        return "no card found, or no driver for it"
    if number >= torch.cuda.device_count():
        return f"no card {number}: there are {torch.cuda.device_count()}, counted from 0"
    if find_spec("triton") is None:
        return "the kernels need Triton, which is not installed"
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CC", "cc"), "gcc", "clang")):
        return "the kernels need a C compiler (gcc or clang), with which Triton starts them"
    name, capability = torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number)
    if capability < _LEAST_CAPABILITY:
        least = ".".join(map(str, _LEAST_CAPABILITY))
        return f"{name} is of capability {capability[0]}.{capability[1]}, and {least} is needed"
    free, _ = torch.cuda.mem_get_info(number)
    if free < _LEAST_BYTES:
        return f"{name} has {free / 2**30:.1f} GiB of memory free, and 2 are needed"
    return None
