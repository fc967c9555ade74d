"""What the page of a run with one map and that of a run with several classes have in common."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cryospin.io.run_folder import LOG
from cryospin.report.unfinished import command_in
from cryospin.report.words import label_and_value, not_modelled_in_words, seconds_in_words
from cryospin.version import installed_version

STAGE_COLOURS = (
    "#9aa5b1",
    "#c9b458",
    "#3f9c8f",
    "#2b66ad",
    "#8bb8e0",
    "#a98fc4",
    "#dd8330",
    "#7f5539",
)


def rendered(template: str, content: dict[str, Any]) -> str:
    """The page's text, from one of the templates beside this file."""
    return _templates().get_template(template).render(**content)


@cache
def _templates() -> Environment:
    """Compiled once: the page of a run at work is made every few seconds."""
    return Environment(
        loader=PackageLoader("cryospin.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def layout_content(directory: Path, result: dict[str, Any]) -> dict[str, Any]:
    """What layout.html.j2 shows, but for `verdict`, `tiles` and `problems`."""
    return {
        "name": directory.resolve().name,
        "date": str(result.get("date", ""))[:16].replace("T", " "),
        "version": result.get("version") or installed_version(),
        "style": texts("page.css"),
        "reasons": result.get("reasons", []),
        "warnings": [
            *result.get("warnings", []),
            *not_modelled_in_words(result.get("not_modelled", [])),
        ],
        "stages": stages(result.get("seconds", {})),
        "tables": tables(result),
        "command": command_in(directory / LOG),
    }


@cache
def texts(*names: str) -> str:
    """Files beside this one, put together."""
    return "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in names)


def stages(seconds: dict[str, float]) -> list[dict[str, Any]]:
    """Stages in the order they ran, with their share of the whole."""
    whole = sum(seconds.values()) or 1.0
    return [
        {
            "name": name,
            "seconds": seconds_in_words(spent),
            "share": round(spent / whole, 4),
            "colour": STAGE_COLOURS[number % len(STAGE_COLOURS)],
        }
        for number, (name, spent) in enumerate(seconds.items())
    ]


def tables(result: dict[str, Any]) -> list[dict[str, Any]]:
    titles = {"settings": "Settings", "versions": "Versions"}
    return [
        {
            "title": title,
            # screening has a panel of its own
            "rows": [label_and_value(*i) for i in result[key].items() if i[0] != "screening"],
        }
        for key, title in titles.items()
        if result.get(key)
    ]
