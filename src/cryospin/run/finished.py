"""A run that has ended, perhaps in an earlier process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryospin.reconstruct.result import Result


@dataclass(frozen=True)
class Run:
    """A finished run.

    Parameters
    ----------
    folder : Path
        With the files of docs/outputs.md.
    verdict : str
        "converged", "ambiguous" or "failed".
    report : Path
        The page to read.
    result : Result or None
        Maps, poses and reasons. None if the run had ended before it was resumed, or found several
        classes: read its files.
    classes : tuple of tuple
        Of each class its folder, and what it is in a sentence.
    """

    folder: Path
    verdict: str
    report: Path
    result: Result | None
    classes: tuple[tuple[Path, str], ...] = ()

    @property
    def converged(self) -> bool:
        return self.verdict == "converged"


def has_ended(folder: Path) -> bool:
    """Whether a run in `folder` came to its end: result.json is written last."""
    return (folder / "result.json").exists()


def ended_before(folder: Path, settings: dict[str, Any]) -> Run:
    """The run that ended in `folder`, which is left as it is.

    Only what a kill after its end left undone is done.

    Raises
    ------
    UsageError: it is another run than `settings` ask for.
    """
    from cryospin import report
    from cryospin.io.run_folder import CHECKPOINTS
    from cryospin.journal.settings import effective, refuse_difference
    from cryospin.report.inputs import read_result

    result = read_result(folder)
    now, then = effective(settings), result.get("settings", {})
    refuse_difference(folder, {name: then.get(name) for name in now}, now)
    if (folder / CHECKPOINTS).exists():
        from cryospin.journal.checkpoints import remove_checkpoints

        remove_checkpoints(folder / CHECKPOINTS)
    page = folder / "report.html"
    if not page.exists():
        report.write_report(folder)
    return Run(folder, result.get("verdict", "no verdict"), page, None)
