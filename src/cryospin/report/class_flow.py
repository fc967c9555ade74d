"""Which share of the images is in which class, as bars: at the end, and on the way there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_COLOURS = ("#2b66ad", "#dd8330", "#3f9c8f", "#c9b458", "#a98fc4", "#7f5539", "#8bb8e0")
_NONE_COLOUR = "#9aa5b1"
_SEEN = 0.002  # of a bar's length


def pieces(fractions: Sequence[float]) -> list[dict[str, Any]]:
    """The pieces of a bar: the classes, and what is in none of them."""
    found: list[dict[str, Any]] = [
        {"name": f"class {number}", "share": share, "colour": _COLOURS[number % len(_COLOURS) - 1]}
        for number, share in enumerate(fractions, 1)
    ]
    rest = 1 - sum(fractions)
    if rest > _SEEN:
        found.append({"name": "none", "share": rest, "colour": _NONE_COLOUR})
    return [
        each | {"share": round(each["share"], 4), "percent": f"{100 * each['share']:.0f} %"}
        for each in found
    ]


def class_flow(lines: Iterable[dict[str, Any]], *, by_size: bool) -> list[dict[str, Any]]:
    """A bar of each half-set's images for every round that the log (docs/outputs.md) tells of,
    since classes were searched for or paired, and since there were as many as in the last round.

    by_size: the classes by their size in the last round, as the folders of a run that has ended.
    """
    told: dict[int, list[list[float]]] = {}
    for line in lines:
        event = line.get("event")
        if event == "paired" and "fractions" in line:  # a log may be of an older version
            told = {half: [fractions] for half, fractions in enumerate(line["fractions"], 1)}
        elif event in ("classified", "fractions"):
            rounds = told.setdefault(int(line["half"]), [])
            fractions = [float(share) for share in line["fractions"]]
            if event == "classified" or (rounds and len(rounds[-1]) != len(fractions)):
                rounds.clear()
            rounds.append(fractions)
    if by_size and told:
        last = [rounds[-1] for rounds in told.values()]
        order = sorted(range(len(last[0])), key=lambda c: -sum(each[c] for each in last))
        told = {
            half: [[fractions[c] for c in order] for fractions in rounds]
            for half, rounds in told.items()
        }
    return [
        {"label": f"half-set {half}", "rounds": [pieces(each) for each in rounds]}
        for half, rounds in sorted(told.items())
    ]
