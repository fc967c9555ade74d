"""`cryospin report`: the page of a run, finished or not, made again from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument


def report(
    directory: Annotated[Path, Argument(help="A folder that `cryospin reconstruct` wrote.")],
) -> None:
    """Write DIRECTORY/report.html: verdict, map, evidence and settings on one offline page."""
    from cryospin.errors import UsageError
    from cryospin.io.lock import LOCK, refuse_in_use
    from cryospin.io.run_folder import PAGE
    from cryospin.report import write_report

    page = directory / PAGE
    try:
        refuse_in_use(directory, directory / LOCK)
    except UsageError:
        if page.exists():
            # by the run itself, which keeps its page up to date
            print(page)
            return
    print(write_report(directory))
