"""What a page of a run at work says: where it is, how far, and what can be held of it so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryospin.report.told import Told
from cryospin.report.words import angstrom, as_tiles, run_tiles, seconds_in_words

PHASES = {
    "start": "Starting",
    "audit": "Looking at every image",
    "read": "Reading the particles",
    "explore": "Exploring: from random starts to first maps",
    "assign": "Finding the pose of every particle",
    "classify": "Telling the structures apart",
    "join": "Laying the half-sets' maps upon one another",
    "refine classes": "Refining classes and poses",
    "refine": "Refining poses and maps",
    "symmetry": "Looking for symmetry",
    "postprocess": "Making the last maps, and judging them",
    "write": "Writing the results",
}
"""Of the stages, in the order of a run."""
_OF_ONE_MAP = ("audit", "read", "explore", "assign", "join", "refine", "symmetry", "postprocess")
_OF_CLASSES = ("audit", "read", "explore", "assign", "classify", "join", "refine classes")
_EVENTS = 12
_UNTOLD = ("begin", "run", "fractions", "page")


def phase_in_words(told: Told, ended: str | None) -> dict[str, str]:
    """title, sentence and mood, as of a verdict: what the page says first."""
    verdict = told.last("verdict")
    if ended is not None:
        return {"title": "Stopped", "sentence": ended, "mood": "doubt"}
    title = PHASES.get(told.stage, told.stage.capitalize())
    if verdict is not None:
        label = str(verdict.get("label"))
        mood = {"converged": "good", "ambiguous": "doubt"}.get(label, "bad")
        return {"title": f"{label.capitalize()}: files are being written", "mood": mood} | {
            "sentence": "; ".join(verdict.get("reasons", []))
        }
    return {"title": title, "sentence": so_far_in_words(told.result()), "mood": "plain"}


def so_far_in_words(result: dict[str, Any]) -> str:
    """What can be held of the run before there is a verdict."""
    agreement = result.get("agreement_angstrom")
    if result["refine"] and agreement:
        return (
            f"No verdict yet. The half-sets' maps, found independently, agree to {agreement:.1f} Å "
            "so far."
        )
    if agreement:
        return (
            "No verdict yet. The half-sets were explored independently, and their maps agree to "
            f"{agreement:.1f} Å."
        )
    return (
        "No verdict yet. Two half-sets start from random maps of their own; whether they come to "
        "the same one is what the verdict rests on."
    )


def live_tiles(told: Told, memory: dict[str, int]) -> list[dict[str, str]]:
    """The few numbers one looks for first."""
    result = told.result()
    left = [s for step in told.steps.values() if (s := step.seconds_left()) is not None]
    found: list[tuple[str, Any]] = [
        ("time so far", seconds_in_words(told.seconds_in_all())),
        ("left in this step", seconds_in_words(max(left)) if left else None),
        (
            "half-maps agree to",
            angstrom(result["agreement_angstrom"]) if "agreement_angstrom" in result else None,
        ),
        (
            "mean confidence in poses",
            f"{result['refine'][-1]['mean_confidence']:.2f}"
            if result["refine"] and "mean_confidence" in result["refine"][-1]
            else None,
        ),
        *((f"memory {name}", f"{used / 1e9:.1f} GB") for name, used in memory.items()),
    ]
    screening = result["settings"].get("screening")
    aside = [] if screening is None else [("set aside", f"{screening.get('rejected', 0):,}")]
    return [*as_tiles(found), *run_tiles(result), *as_tiles(aside)]


def phases(told: Told) -> list[dict[str, str]]:
    """Every stage of the run with its state: done, open, or still to come."""
    classes = told.result()["settings"].get("classes", 1) != 1
    expected = (*_OF_CLASSES, *_OF_ONE_MAP[5:]) if classes else _OF_ONE_MAP
    met = {str(line.get("stage")) for line in told.lines if line.get("event") == "begin"}
    return [
        {
            "name": name,
            "state": "open" if name in told.open else "done" if name in met else "to come",
        }
        for name in (*expected, "write")
    ]


def steps(told: Told) -> list[dict[str, Any]]:
    """Each step with how much of it is done, and what is left."""
    return [
        {
            "label": step.label,
            "share": round(step.done / max(step.total, 1), 4),
            "done": f"{step.done:,} of {step.total:,}",
            "left": "" if left is None else f"{seconds_in_words(left)} left",
        }
        for step in list(told.steps.values())
        for left in [step.seconds_left()]
    ]


def events_in_words(told: Told) -> list[dict[str, str]]:
    """The last events, the newest first."""
    shown = [line for line in told.lines if line.get("event") not in _UNTOLD]
    return [
        {"time": str(line.get("time", ""))[11:19], "words": event_in_words(line)}
        for line in reversed(shown[-_EVENTS:])
    ]


def event_in_words(line: dict[str, Any]) -> str:
    """One event of the log (docs/outputs.md) in a few words; of one that is not known, its name."""
    event = str(line.get("event"))
    words = _WORDS.get(event)
    try:
        return event if words is None else words(line)
    except (KeyError, TypeError, ValueError):
        # of another version's log
        return event


def _shares(fractions: list[float]) -> str:
    return ", ".join(f"{100 * share:.0f} %" for share in fractions)


def _across(diameter: float | None) -> str:
    return "the images do not tell its size" if diameter is None else f"{diameter:.0f} Å across"


_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "stage": lambda line: f"{line['stage']}: done in {seconds_in_words(line['took'])}",
    "screened": lambda line: f"images looked at: {line['rejected']:,} set aside",
    "particle size": lambda line: f"particle: {_across(line['diameter_angstrom'])}",
    "explored": lambda line: (
        f"half-set {line['half']} explored, its starts scored "
        + ", ".join(f"{score:.1f}" for score in line["scores"])
    ),
    "joined": lambda line: (
        f"half-sets joined: maps agree to {angstrom(line['resolution_angstrom'])}"
    ),
    "compared": lambda line: "each half's map held against the other half's images",
    "evidence": lambda line: (
        f"the evidence of the half-sets differs by {abs(line['gap']):.1f} nats an image, give or "
        f"take {line['error']:.1f}"
    ),
    "round": lambda line: (
        f"maps agree to {angstrom(line['resolution_angstrom'])}, "
        f"poses turned by {line['median_turn_degrees']:.2g}°"
    ),
    "symmetry": lambda line: f"symmetry found: {line['name']}",
    "verdict": lambda line: f"verdict: {line['label']}",
    "classified": lambda line: f"half-set {line['half']} in classes: {_shares(line['fractions'])}",
    "paired": lambda line: "classes of the half-sets laid upon one another",
    "class": lambda line: f"class {line['number']}: {line['particles']:,} particles",
    "junk": lambda line: f"in no class: {line['particles']:,} particles",
    "checkpoint": lambda line: f"a checkpoint could not be used: {line['problem']}",
}
