"""What a run at work tells, made up: events as reconstruct.monitor logs them."""

from __future__ import annotations

from typing import Any

BOX, PIXEL = 64, 3.5


def line(event: str, seconds: float, stage: str = "start", **fields: Any) -> dict[str, Any]:
    """One event of a log."""
    when = f"2026-01-02T03:04:{int(seconds) % 60:02d}.000+00:00"
    return {"time": when, "seconds": seconds, "stage": stage, "event": event, **fields}


def round_line(number: int) -> dict[str, Any]:
    """One of refinement, the better the later."""
    limit = 15.0 + number
    return line(
        "round",
        40.0 + number,
        "refine",
        radius=12.0,
        limit=limit,
        median_turn_degrees=2.0 / number,
        mean_confidence=1 - 0.3 / number,
        resolution_angstrom=BOX * PIXEL / limit,
        fsc=[max(0.0, 1.0 - shell / (1.2 * limit)) for shell in range(24)],
    )


BEGUN = [
    line(
        "run",
        0.1,
        box=BOX,
        pixel_size_angstrom=PIXEL,
        particles=3000,
        settings={"recipe": "exhaustive", "classes": 1, "symmetry": "C1"},
        command="cryospin reconstruct 'a <b>.star' --out run",
    ),
    line("begin", 0.2, "audit"),
]
REFINING = [
    *BEGUN,
    line("screened", 4.0, "audit", rejected=7, rejected_by_reason={"NaN or infinite pixels": 7}),
    line("stage", 4.0, "audit", took=3.8),
    line("begin", 4.1, "explore"),
    line("stage", 30.0, "explore", took=25.9),
    line("explored", 31.0, half=1, scores=[1.25, 2.5], rising=None),
    line("joined", 39.0, "join", agreement_radius=12.0, resolution_angstrom=18.7),
    line("begin", 40.0, "refine"),
    *(round_line(number) for number in (1, 2, 3)),
]
