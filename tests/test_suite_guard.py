"""A suite that skips itself cannot look green: what --enough-tests asks for (see conftest)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED = "needs a lens"
SKIPS = {
    "mark": "@pytest.mark.skip(reason={reason!r})\ndef test_it(): pass",
    "call": "def test_it(): pytest.skip({reason!r})",
    "fixture": ("@pytest.fixture\ndef lens(): pytest.skip({reason!r})\ndef test_it(lens): pass"),
    "module": "pytest.skip({reason!r}, allow_module_level=True)",
}


def run(folder: Path, program: str, *options: str, minimum: int = 1) -> tuple[int, str]:
    """Exit code and output of a suite of one test that passes, and of `program`."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "pytest.ini").write_text(
        f"[pytest]\nminimum_executed_tests = {minimum}\nallowed_skips =\n    {ALLOWED}\n"
    )
    (folder / "test_passes.py").write_text("def test_it(): pass\n")
    (folder / "test_other.py").write_text(f"import pytest\n{program}\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout


@pytest.mark.parametrize("way", SKIPS)
def test_a_skip_that_nobody_allowed_fails(tmp_path: Path, way: str) -> None:
    program = SKIPS[way].format(reason="the moon is full")
    code, output = run(tmp_path, program, "--enough-tests")
    assert code == 1
    assert "the moon is full" in output.partition("skipped for a reason that is not allowed")[2]


@pytest.mark.parametrize("way", SKIPS)
def test_a_skip_that_is_listed_does_not(tmp_path: Path, way: str) -> None:
    code, output = run(tmp_path, SKIPS[way].format(reason=ALLOWED), "--enough-tests")
    assert code == 0 and "1 skipped" in output


def test_parameters_that_are_none_are_a_skip(tmp_path: Path) -> None:
    """A glob that finds nothing: pytest skips such a test in silence."""
    program = "@pytest.mark.parametrize('file', [])\ndef test_it(file): pass"
    code, output = run(tmp_path, program, "--enough-tests")
    assert code == 1 and "got empty parameter set" in output


def test_processes_side_by_side_are_counted_together(tmp_path: Path) -> None:
    program = SKIPS["call"].format(reason="the moon is full")
    code, output = run(tmp_path, program, "--enough-tests", "-n", "2")
    assert code == 1 and output.count("test_other.py::test_it: the moon is full") == 1
    code, _ = run(tmp_path, "def test_it(): pass", "--enough-tests", "-n", "2", minimum=2)
    assert code == 0


def test_too_few_tests_fail(tmp_path: Path) -> None:
    program = "def test_it(): pass"
    assert run(tmp_path, program, "--enough-tests", minimum=2)[0] == 0
    code, output = run(tmp_path, program, "--enough-tests", minimum=3)
    assert code == 1 and "2 tests executed, 1 fewer than" in output


def test_part_of_the_suite_may_be_run(tmp_path: Path) -> None:
    program = SKIPS["call"].format(reason="the moon is full")
    assert run(tmp_path, program, minimum=3)[0] == 0
