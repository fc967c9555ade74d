"""The `cryospin` command: collects the sub-commands and turns failures into exit codes.

Each sub-command is a function in its own module that imports what it needs when it runs:
`cryospin --help` must answer before torch could be imported (2 s and more).
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated

import typer
from typer.core import TyperGroup

from cryospin.errors import CryospinError, InterruptedRunError, ResourceError

COMMANDS = (
    "demo",
    "simulate",
    "reconstruct",
    "launch",
    "work",
    "join",
    "evaluate",
    "fsc",
    "symmetry",
    "check",
    "convert",
    "report",
    "watch",
    "flip_hand",
    "mask",
    "postprocess",
    "lowpass",
    "crop",
    "downsample",
    "posterior",
    "variability",
    "bench",
    "pairs",
)
# what the operating system says when the user's disk or rights are at fault, not the program
RESOURCE_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EFBIG}

NO_CACHE = (
    "no folder can be written for compiled code, neither beside the program nor in the home or"
    " temporary folder. Set NUMBA_CACHE_DIR to a folder of yours that can be written"
)


def show_version(wanted: bool) -> bool:
    if wanted:
        from cryospin.version import full_version

        print(f"cryospin {full_version()}")
        raise typer.Exit()
    return wanted


def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Ab-initio cryo-EM reconstruction: from particle images to a map and a pose per particle.

    Exit codes: 0 done; 2 usage; 3 bad data; 4 finished but not converged;
    5 out of resources; 130 interrupted.
    """


@cache
def build_app() -> TyperGroup:
    """The application with every sub-command whose module exists."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        # an unexpected failure is a plain traceback: it goes into bug reports as it stands
        pretty_exceptions_enable=False,
        # plain help: rich's would cost 0.2 s of import, half of what --help may take
        rich_markup_mode=None,
    )
    app.callback()(options)
    for name in COMMANDS:
        if importlib.util.find_spec(f"cryospin.cli.{name}") is not None:
            command = getattr(importlib.import_module(f"cryospin.cli.{name}"), name)
            if isinstance(command, typer.Typer):  # a group of sub-commands
                app.add_typer(command, name=name.replace("_", "-"))
            else:
                app.command(name.replace("_", "-"))(command)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def is_out_of_resources(error: BaseException) -> bool:
    """Memory or disk, also as torch reports it (a RuntimeError, told by its words)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno in RESOURCE_ERRNO
    told = ("can't allocate memory", "CUDA out of memory")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in told)


def is_without_cache(error: BaseException) -> bool:
    """numba found no folder for its compiled code (a RuntimeError, told by its words)."""
    return isinstance(error, RuntimeError) and "cannot cache function" in str(error)


def complain(message: str) -> None:
    typer.secho(message, fg=typer.colors.RED, err=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line `arguments` (default: the process's) and exit with its code."""
    # torch's and numba's thread pools take turns; by default the one that waits spins, and
    # the other gets half the cores. Read at the pools' start, so set before any import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # asks for a checkpoint (cryospin.journal.signals); by default it ends whoever has none yet
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        build_app()(args=arguments, prog_name="cryospin")
    except CryospinError as error:
        complain(f"{error}" if isinstance(error, InterruptedRunError) else f"error: {error}")
        for note in getattr(error, "__notes__", ()):
            complain(f"  {note}")
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code == InterruptedRunError.exit_code:
            complain("interrupted")
        raise
    except (MemoryError, OSError, RuntimeError) as error:
        if is_without_cache(error):
            complain(f"error: {NO_CACHE}")
            sys.exit(ResourceError.exit_code)
        if not is_out_of_resources(error):
            raise
        complain(f"error: out of resources: {error or 'memory exhausted'}")
        sys.exit(ResourceError.exit_code)


if __name__ == "__main__":
    main()
