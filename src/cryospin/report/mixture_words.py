"""A run with several classes in words: verdict, tiles, and the rows of its tables."""

from __future__ import annotations

from typing import Any

from cryospin.report.words import MOODS, as_tiles, run_tiles

MARKS = {
    "converged": ("✓ converged", "good"),
    "ambiguous": ("? ambiguous", "doubt"),
    "failed": ("✗ failed", "bad"),
}


def mixture_verdict(result: dict[str, Any]) -> dict[str, str]:
    """title, sentence and mood of the verdict on all classes together."""
    verdict = str(result.get("verdict", "no verdict"))
    count = len(result["classes"])
    sound = sum(each.get("verdict") == "converged" for each in result["classes"])
    mood = MOODS.get(verdict, "plain")
    if mood == "bad":
        sentence = (
            "Do not interpret these maps: what the two half-sets came to, reconstructed "
            "separately, holds for none of them."
        )
    elif mood == "doubt":
        sentence = (
            f"{sound} of {structures(count)} can be trusted: look at the others, but do not build "
            "on them."
        )
    elif count == 1:
        sentence = "One structure, which two half-sets found independently."
    else:
        sentence = (
            f"{structures(count)}, each found by two half-sets independently, which also agree on "
            "how they differ."
        )
    return {"title": verdict.capitalize(), "sentence": sentence, "mood": mood}


def structures(count: int) -> str:
    return "1 structure" if count == 1 else f"{count} structures"


def mixture_tiles(result: dict[str, Any]) -> list[dict[str, str]]:
    """The few numbers one looks for first."""
    count, asked = len(result["classes"]), result.get("classes_asked")
    kind = "structure" if count == 1 else "structures"
    junk = result.get("junk") or {}
    found: list[tuple[str, Any]] = [
        (kind if asked in (None, count) else f"{kind}, of {asked} searched for", count),
        (
            f"particles of no class ({100 * junk.get('fraction', 0.0):.1f} %)",
            f"{junk['particles']:,}" if junk.get("particles") else None,
        ),
    ]
    return [*as_tiles(found), *run_tiles(result)]


def confusion_rows(table: list[list[int]]) -> list[list[dict[str, Any]]]:
    """Cells of a table with a row for each class: how many, which share of the row, and whether
    both half-sets say the same. Empty for a single class."""
    if len(table) < 2:
        return []
    return [
        [
            {
                "count": f"{count:,}",
                "percent": f"{100 * count / max(sum(row), 1):.0f} %",
                "own": place == column,
            }
            for column, count in enumerate(row)
        ]
        for place, row in enumerate(table)
    ]


def comparison_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Every two classes found, and those that were searched for and joined: what was measured,
    and what it means."""
    distinct = [
        ("classes {} and {}".format(*each["classes"]), each, "two structures", "good")
        for each in result.get("compared", [])
    ]
    joined = [
        ("two searched for", each, "one, turned" if each.get("turned") else "joined", "plain")
        for each in result.get("joined", [])
    ]
    return [
        {
            "pair": pair,
            "kappa": f"{each['kappa']:.2f}",
            "difference": f"{each['difference']:.2f}",
            "words": words,
            "mood": mood,
        }
        for pair, each, words, mood in (*distinct, *joined)
    ]


def class_evaluation(evaluation: dict[str, Any]) -> dict[str, Any] | None:
    """What `cryospin evaluate` found of the classes: tiles, and a row for each class; None where
    it was not asked, or told of none."""
    classes = evaluation.get("classes")
    if not classes:
        return None
    junk = classes.get("junk") or {}
    numbers = [
        ("of the particles in the right class", classes.get("accuracy"), "{:.1%}"),
        ("adjusted Rand index", classes.get("adjusted_rand_index"), "{:.3f}"),
        ("of the junk found", junk.get("recall"), "{:.1%}"),
    ]
    return {
        "tiles": as_tiles(
            [(label, None if n is None else form.format(n)) for label, n, form in numbers]
        ),
        "rows": [_class_against_truth(each) for each in classes.get("each", [])],
    }


def _class_against_truth(each: dict[str, Any]) -> dict[str, str]:
    turn = ((each.get("poses") or {}).get("rotation_error_degrees") or {}).get("median")
    reach = (each.get("map") or {}).get("fsc_0.5_angstrom")
    shows = each.get("shows")
    return {
        "class": f"class {each.get('class')}",
        "shows": "–" if shows is None else f"true class {shows}",
        "turn": "–" if turn is None else f"{turn:.2f}°",
        "resolution": "–" if reach is None else f"{reach:.1f} Å",
    }
