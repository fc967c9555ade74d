"""One rank of a toy run, as a process of its own; `started` starts several that find each other.

    python rank_program.py TABLE OUT [--resume] [--file] [--elsewhere] [--die PART N] [--fail PART]

--elsewhere: on a pretended card. --die: at its N-th state of a part whose name holds PART, this
process kills itself. --fail: there it raises an error of ours. Both only where the environment's
DOOMED is this rank.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from elsewhere import Elsewhere

ROOT = Path(__file__).parents[1]


def started(ranks: int, *words: object, doomed: int = -1) -> list[subprocess.Popen[str]]:
    """So many processes of this program, as torchrun would start them."""
    return processes(ranks, [__file__, *map(str, words)], {"DOOMED": str(doomed)})


def processes(
    ranks: int, program: list[str], told: dict[str, str] | None = None
) -> list[subprocess.Popen[str]]:
    """So many processes of Python that find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": ranks,
        "LOCAL_WORLD_SIZE": ranks,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}",
        **(told or {}),
    }
    begun = []
    for rank in range(ranks):
        own = shared | {"RANK": rank, "LOCAL_RANK": rank}
        begun.append(
            subprocess.Popen(
                [sys.executable, *program],
                env=os.environ | {name: str(value) for name, value in own.items()},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return begun


def ended(processes: list[subprocess.Popen[str]]) -> tuple[list[int], str]:
    """Exit codes and all that was said, once all have ended."""
    said = [process.communicate(timeout=240)[0] for process in processes]
    return [process.returncode for process in processes], "\n".join(said)


def main(words: list[str]) -> None:
    import pytest

    from cryospin import recipes, report
    from cryospin.cli import main as command_line
    from cryospin.errors import BadDataError
    from cryospin.journal.journal import Journal
    from reconstruct_toys import cut_down, toy

    patch = pytest.MonkeyPatch()
    cut_down(patch)
    patch.setattr(recipes, "find_recipe", lambda name: toy("exhaustive"))
    patch.setattr(report, "write_report", lambda run: run / "report.html")
    table, out, *rest = words
    asked = ["reconstruct", table, "--out", out, "--checkpoint-seconds", "0", "--threads", "1"]
    asked += ["--device", "cpu", *(["--resume"] if "--resume" in rest else [])]
    asked += ["--memory", "0.5"] if "--file" in rest else []
    if os.environ["DOOMED"] == os.environ["RANK"]:
        kept, seen = Journal._write, 0

        def write(self: Journal, state: object) -> None:
            nonlocal seen
            kept(self, state)
            if "--die" in rest and rest[rest.index("--die") + 1] in self._name:
                seen += 1
                if seen == int(rest[rest.index("--die") + 2]):
                    os.kill(os.getpid(), signal.SIGKILL)
            if "--fail" in rest and rest[rest.index("--fail") + 1] in self._name:
                raise BadDataError("made up", fix="none")

        patch.setattr(Journal, "_write", write)
    with pretended_card(patch) if "--elsewhere" in rest else nullcontext():
        command_line.main(asked)


def pretended_card(patch: pytest.MonkeyPatch) -> Elsewhere:
    """Inside, a run that asks for the CPU computes elsewhere."""
    from cryospin.run import resources, solve
    from elsewhere import ELSEWHERE, Elsewhere, teach

    teach(patch)
    patch.setattr(resources, "find_device", lambda name: (ELSEWHERE, "computing elsewhere"))
    patch.setattr(resources, "free_bytes", lambda device: 2**40)
    patch.setattr(solve, "load_meanwhile", lambda device: None)
    return Elsewhere()


if __name__ == "__main__":
    main(sys.argv[1:])
