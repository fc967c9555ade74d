"""The command line as a process: start-up time, exit codes, and errors as messages."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest
import typer

from cryospin.cli import main as command_line
from cryospin.errors import BadDataError, ResourceError, UsageError
from cryospin.version import code_digest, full_version, installed_version


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cryospin.cli.main", *arguments], capture_output=True, text=True
    )


def exit_code_of(monkeypatch: pytest.MonkeyPatch, failure: BaseException | None) -> object:
    """Exit code of a command that ends in `failure`."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        if failure is not None:
            raise failure

    monkeypatch.setattr(command_line, "build_app", lambda: app)
    with pytest.raises(SystemExit) as stop:
        command_line.main([])
    return stop.value.code


def test_help_answers_in_half_a_second() -> None:
    """Seconds of processor time, which is what it takes on an idle machine.

    Time by the clock would count the other tests that run at the same moment. The best of
    several: neighbours on the machine (and the first, cold read of the files) only add to it.
    """
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert result.returncode == 0
        assert "Usage: cryospin" in result.stdout
    assert min(seconds) < 0.5


def test_version() -> None:
    result = run("--version")
    assert result.returncode == 0
    assert result.stdout.strip() == f"cryospin {full_version()}"
    assert installed_version() in result.stdout and code_digest() in result.stdout


@pytest.mark.parametrize("arguments", [("fly",), ("--fly",), ("report",)])
def test_usage_errors_exit_with_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "Usage: cryospin" in result.stderr
    assert "Traceback" not in result.stderr


def test_every_command_explains_itself() -> None:
    for name, command in command_line.build_app().commands.items():
        assert command.help, f"{name} has no help text"


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (None, 0),
        (UsageError("--out is missing"), 2),
        (BadDataError("defocus is NaN", file="a.star", row=3, fix="drop the row"), 3),
        (typer.Exit(4), 4),
        (ResourceError("disk full"), 5),
        (MemoryError(), 5),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 5),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 5),
        (RuntimeError("cannot cache function 'f': no locator available for file 'a.py'"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_failures_become_exit_codes(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException | None, code: int
) -> None:
    assert exit_code_of(monkeypatch, failure) == code


def test_no_folder_for_compiled_code_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = RuntimeError("cannot cache function 'f': no locator available for file 'a.py'")
    exit_code_of(monkeypatch, failure)
    assert "NUMBA_CACHE_DIR" in capsys.readouterr().err


def test_messages_name_the_place_and_the_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code_of(monkeypatch, BadDataError("is NaN", file="a.star", row=3, column="x", fix="drop"))
    printed = capsys.readouterr().err
    assert "error: a.star, row 3, column x: is NaN" in printed
    assert "fix: drop" in printed


def test_unexpected_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code_of(monkeypatch, ZeroDivisionError())
