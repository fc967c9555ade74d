"""Numbers of a run as the report says them: verdict, tiles, table rows."""

from __future__ import annotations

from typing import Any

MOODS = {"converged": "good", "ambiguous": "doubt", "failed": "bad", "not converged": "bad"}


def verdict_in_words(result: dict[str, Any]) -> dict[str, str]:
    """title, sentence and mood (good, doubt, bad, plain: the colour) of a run's verdict."""
    verdict = str(result.get("verdict", "no verdict"))
    mood = MOODS.get(verdict, "plain")
    if mood == "bad":
        sentence = (
            "Do not interpret this map: what the two half-sets came to, reconstructed separately, "
            "does not hold."
        )
    elif verdict == "interrupted":
        sentence = (
            "This run has no result yet: it was stopped, or it is still at work. What follows is "
            "what it had told by then."
        )
    elif mood == "doubt":
        sentence = (
            "Some of the evidence speaks for this map and some against it: look at it, but do not "
            "build on it."
        )
    else:
        sentence = agreement_in_words(result)
    return {"title": verdict.capitalize(), "sentence": sentence, "mood": mood}


def agreement_in_words(result: dict[str, Any]) -> str:
    resolution = result.get("resolution_angstrom", {}).get("fsc_0.143")
    agreement = f"agree to {resolution:.1f} Å (FSC 0.143)" if resolution else "have no resolution"
    # a common start is common knowledge, and the reader must know of it
    given = result.get("settings", {}).get("initial_map")
    how = "from one low-pass filtered initial map" if given else "independently"
    return f"Two half-sets, reconstructed {how}, {agreement}."


MARKS = {"failed": "✗ failed", "ambiguous": "? doubtful", "warning": "! mind"}


def evidence_rows(evidence: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Each piece of evidence: name, value, unit, limit, mark with its mood, and words.

    The words say what not passing means, so they are left out where it passed.
    """
    rows = []
    for piece in evidence:
        limit, counts = piece.get("limit"), str(piece.get("counts", "failed"))
        passed = bool(piece.get("passed"))
        mark, mood = MARKS.get(counts, counts), "bad" if counts == "failed" else "doubt"
        if passed:
            mark, mood = ("–", "plain") if limit is None else ("✓ passed", "good")
        rows.append(
            {
                "name": str(piece.get("name", "")),
                "value": number(piece.get("value")),
                "unit": str(piece.get("unit") or ""),
                "limit": "" if limit is None else number(limit),
                "mark": mark,
                "mood": mood,
                "words": "" if passed and limit is not None else str(piece.get("words") or ""),
            }
        )
    return rows


def number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else label_and_value("", value)["value"]


def screening_in_words(screening: dict[str, Any], particles: int | None) -> dict[str, Any]:
    """A sentence on the particles set aside, and a row of counts per reason."""
    rejected = int(screening.get("rejected", 0))
    whole = "" if particles is None else f" of {particles + rejected:,}"
    sentence = f"{rejected:,}{whole} images were set aside before anything else."
    if not rejected:
        sentence = "No image was set aside."
    if screening.get("contrast_inverted"):
        sentence += " The contrast was inverted: protein was dark."
    counts = screening.get("rejected_by_reason", {})
    rows = [{"label": why, "value": f"{n:,}"} for why, n in counts.items() if n]
    return {"sentence": sentence, "rows": rows}


def not_modelled_in_words(found: list[dict[str, Any]]) -> list[str]:
    """What the table tells of the images and the run left out, a sentence each."""
    return [
        f"Not modelled: {each['what']} ({', '.join(each['columns'])}); {each['cost']}."
        for each in found
    ]


def size_in_words(particle: dict[str, Any]) -> str:
    """The particle's diameter, where it is from, and the mask's."""
    diameter, mask = particle.get("diameter_angstrom"), particle.get("mask_diameter_angstrom")
    if diameter is None:
        return "The images do not tell; they were masked with the whole box."
    if particle.get("given"):
        return f"Said to be {diameter:.0f} Å across; images are masked with that circle."
    return (
        f"{diameter:.0f} Å across, found from the mean of images (each times its CTF); images are "
        f"masked with a circle of {mask:.0f} Å, to leave room for shifts."
    )


def number_tiles(result: dict[str, Any]) -> list[dict[str, str]]:
    """The few numbers one looks for first."""
    resolution = result.get("resolution_angstrom", {})
    found: list[tuple[str, Any]] = [
        ("resolution at FSC 0.143", angstrom(resolution.get("fsc_0.143"))),
        ("resolution at FSC 0.5", angstrom(resolution.get("fsc_0.5"))),
    ]
    if result.get("verdict") == "interrupted":
        # while it runs it tells where the half-maps agree without the final mask
        found = [
            ("last stage", result.get("stage")),
            ("half-maps agreed so far", angstrom(result.get("agreement_angstrom"))),
        ]
    return [*as_tiles(found), *run_tiles(result)]


def run_tiles(result: dict[str, Any]) -> list[dict[str, str]]:
    """Of what was found whatever it is: how many particles, how large, in what time."""
    box, pixel = result.get("box"), result.get("pixel_size_angstrom")
    tiles: list[tuple[str, Any]] = [
        ("particles", f"{result['particles']:,}" if "particles" in result else None),
        (f"box, {pixel:.4g} Å per pixel" if pixel else "box", f"{box} px" if box else None),
        ("particle diameter", _diameter(result.get("particle"))),
        ("symmetry", result.get("symmetry")),
        (
            "in all",
            seconds_in_words(result["seconds_total"]) if "seconds_total" in result else None,
        ),
        (
            "peak memory",
            f"{result['peak_memory_bytes'] / 1e9:.1f} GB"
            if "peak_memory_bytes" in result
            else None,
        ),
    ]
    return as_tiles(tiles)


def as_tiles(found: list[tuple[str, Any]]) -> list[dict[str, str]]:
    """Labels and values; what is None has none."""
    return [{"label": label, "value": str(value)} for label, value in found if value is not None]


def _diameter(particle: dict[str, Any] | None) -> str | None:
    diameter = (particle or {}).get("diameter_angstrom")
    return None if diameter is None else f"{diameter:.0f} Å"


def angstrom(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} Å"


def seconds_in_words(seconds: float) -> str:
    """`8.3 s`, `78 s`, `3.1 min`, `42 min`, `2 h 10 min`: short, for a tile."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 10:
        return f"{minutes:.1f} min"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes // 60:.0f} h {minutes % 60:02.0f} min"


def label_and_value(name: str, value: Any) -> dict[str, str]:
    """`max_resolution_angstrom`: None -> `max resolution angstrom`: `not given`."""
    if value is None:
        text = "not given"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, float):
        text = f"{value:.4g}"
    elif isinstance(value, list | tuple):
        text = ", ".join(label_and_value("", item)["value"] for item in value)
    else:
        text = str(value)
    return {"label": name.replace("_", " "), "value": text}


def evaluation_tiles(evaluation: dict[str, Any]) -> list[dict[str, str]]:
    """What `cryospin evaluate` found, in the same few words for every run."""
    rotation = evaluation.get("rotation_error_degrees", {})
    shift = evaluation.get("shift_error", {})
    # null without a true map
    maps = evaluation.get("map") or {}
    found = [
        ("median rotation error", rotation.get("median"), "{:.2f}°"),
        ("of the particles beyond 10°", rotation.get("percent_beyond_10"), "{:.1f} %"),
        ("shift error, rms", shift.get("rms_pixel"), "{:.2f} px"),
        ("FSC 0.5 of map and truth", maps.get("fsc_0.5_angstrom"), "{:.1f} Å"),
        ("correlation of map and truth", maps.get("correlation"), "{:.3f}"),
    ]
    tiles = [
        {"label": label, "value": form.format(value)}
        for label, value, form in found
        if value is not None
    ]
    if evaluation.get("hand_flipped"):
        tiles.append({"label": "hand: images cannot tell it", "value": "mirrored"})
    return tiles
