"""Kernels are compiled by another process, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cryospin.kernels import compiled, loops


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have been run; each ends with the code that is set."""
    seen: list[list[str]] = []

    def run(command: list[str], **more: Any) -> subprocess.CompletedProcess[bytes]:
        seen.append(command)
        return subprocess.CompletedProcess(command, 0 if len(seen) > 1 else 1)

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_until_it_has_succeeded(
    calls: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setattr(compiled, "_mark", lambda: mark)
    for expected in (1, 2, 2, 2):  # fails, succeeds, and is done
        compiled.compile_once()
        assert len(calls) == expected and mark.exists() is (expected == 2)
    assert calls[0] == [sys.executable, "-m", "cryospin.kernels.compiled"]


def test_nowhere_to_keep_anything(
    calls: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls.append([])  # the next one succeeds
    monkeypatch.setattr(compiled, "_mark", lambda: tmp_path / "none" / "mark")
    compiled.compile_once()
    assert len(calls) == 2 and not (tmp_path / "none").exists()


def test_the_mark_is_of_this_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = compiled._mark()
    assert before.parent == Path(loops.normal_equations_loop.stats.cache_path)
    changed = tmp_path / "loops.py"
    changed.write_bytes(Path(str(loops.__file__)).read_bytes() + b"# more\n")
    monkeypatch.setattr(loops, "__file__", str(changed))
    assert compiled._mark() != before and compiled._mark().parent == before.parent


def test_all_are_called() -> None:
    compiled.call_all()
    parallel = (
        loops.slice_loop,
        loops.insert_loop,
        loops.losses_loop,
        loops.normal_equations_loop,
    )
    assert all(loop.signatures for loop in parallel)
