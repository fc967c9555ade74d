"""How much memory the run uses now, for who watches it."""

from __future__ import annotations

from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")


def memory_in_use() -> dict[str, int]:
    """Bytes by name: those of the process, and of its tensors on a card, where there is one."""
    used = {}
    if _STATUS.exists():
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        used["in use"] = 1024 * int(lines["VmRSS"].split()[0])
    if torch.cuda.is_initialized():
        used["of the card"] = torch.cuda.memory_reserved()
    return used
