"""`cryospin flip-hand`: a run's maps, mask and poses in the other hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def flip_hand(
    run: Annotated[Path, Argument(help="Folder that cryospin reconstruct wrote.")],
    out: Annotated[
        Path | None, Option(help="Folder to write into; default RUN/other_hand.")
    ] = None,
) -> None:
    """Mirror a finished run: map, half-maps, mask and angles together, into another folder.

    Images cannot tell the hand; where the helices of the map turn left, it is the wrong one.
    """
    from cryospin.reconstruct.other_hand import write_other_hand
    from cryospin.report import write_report

    place = run / "other_hand" if out is None else out
    write_other_hand(run, place)
    write_report(place)
    print(f"{place}: the run in the other hand")
