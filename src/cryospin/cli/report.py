"""`cryospin report`: the page of a run, finished or not, made again from its files; or of two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cryospin.errors import UsageError


def report(
    directory: Annotated[Path, Argument(help="A folder that `cryospin reconstruct` wrote.")],
    other: Annotated[Path | None, Argument(help="Another one: compare the two.")] = None,
    out: Annotated[
        Path | None, Option(help="With two runs: the page to write; default comparison.html.")
    ] = None,
) -> None:
    """Write DIRECTORY/report.html: verdict, map, evidence and settings on one offline page.

    With two runs write one page that shows them side by side: verdicts, FSC, maps laid upon one
    another, poses of the particles that both have, settings that differ, time per stage.
    """
    if other is not None:
        print(compared(directory, other, out or Path("comparison.html")))
    elif out is not None:
        raise UsageError("--out is for two runs\n  fix: leave it out, or name another run")
    else:
        print(page_of(directory))


def page_of(directory: Path) -> Path:
    """The page of one run; one that is at work keeps its page itself."""
    from cryospin.io.lock import LOCK, refuse_in_use
    from cryospin.io.run_folder import PAGE
    from cryospin.report import write_report

    page = directory / PAGE
    try:
        refuse_in_use(directory, directory / LOCK)
    except UsageError:
        if page.exists():
            return page
    return write_report(directory)


def compared(first: Path, second: Path, out: Path) -> Path:
    """The page of two runs."""
    from cryospin.evaluate.two_runs import compare_runs
    from cryospin.io.outputs import check_output_file
    from cryospin.report.compare import write_comparison
    from cryospin.report.inputs import read_result

    results = [read_result(folder) for folder in (first, second)]
    for folder, result in zip((first, second), results, strict=True):
        if result.get("classes"):
            fix = f"give the folder of one of them: {folder / 'class_01'}"
            raise UsageError(f"{folder} is a run with several classes\n  fix: {fix}")
    files = [path for folder in (first, second) for path in folder.iterdir() if path.is_file()]
    check_output_file(out, files)
    groups = {str(result.get("symmetry", "C1")) for result in results}
    found = compare_runs(first, second, groups.pop() if len(groups) == 1 else "C1")
    moved = None if found.moved is None else found.moved.values.numpy()
    return write_comparison(first, second, out, moved, found.maps, found.poses, found.problems)
