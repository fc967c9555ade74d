"""What torchrun tells a process of the others it has started, by the environment.

Nothing heavy is imported: the command line asks before it computes.
"""

from __future__ import annotations

import os


def ranks_asked_for() -> int:
    """How many processes compute this run together."""
    return _told("WORLD_SIZE", 1)


def rank_asked_for() -> int:
    """This process's number among them."""
    return _told("RANK", 0)


def ranks_on_this_machine() -> int:
    """How many of them run on this machine."""
    return _told("LOCAL_WORLD_SIZE", 1)


def rank_on_this_machine() -> int:
    """This process's number among those."""
    return _told("LOCAL_RANK", 0)


def _told(name: str, otherwise: int) -> int:
    # others use some of these names too; only torchrun (and whoever imitates it) sets them all
    return int(os.environ[name]) if "RANK" in os.environ and name in os.environ else otherwise
