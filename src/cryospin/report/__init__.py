"""report.html of a run directory: one offline page, verdict first."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from threading import Thread


def write_report(run_directory: Path) -> Path:
    """As `cryospin.report.page.write_report`, whose libraries are imported only now."""
    from cryospin.report.page import write_report as write

    return write(run_directory)


def import_meanwhile() -> None:
    """Import what draws the page while something else is computed: it takes a second."""
    Thread(target=import_module, args=("cryospin.report.page",), name="report").start()
