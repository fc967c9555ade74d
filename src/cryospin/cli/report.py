"""`cryospin report`: the page of a run, finished or not, made again from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument


def report(
    directory: Annotated[Path, Argument(help="A folder that `cryospin reconstruct` wrote.")],
) -> None:
    """Write DIRECTORY/report.html: verdict, map, evidence and settings on one offline page."""
    from cryospin.report import write_report

    print(write_report(directory))
