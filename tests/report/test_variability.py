"""The page of a variability analysis: first whether anything is reproducible, all in one file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cryospin.io.mrc import write_map
from cryospin.report.variability import content_of, read_coordinates, write_variability_report
from cryospin.types import DensityMap
from phantoms import Blobs

BOX, PIXEL, COUNT = 24, 5.0, 50


def write_analysis(folder: Path, reproducible: tuple[bool, ...]) -> Path:
    """What `cryospin variability` leaves, made up."""
    place = folder / "run" / "variability"
    place.mkdir(parents=True)
    mean = Blobs.random(1).density(BOX).float()
    write_map(place / "mean.mrc", DensityMap(mean, PIXEL))
    components: list[dict[str, Any]] = []
    for number, found in enumerate(reproducible, 1):
        along = 0.2 * Blobs.random(number + 1).density(BOX).float()
        for half in (1, 2):
            noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(half))
            density = along if found else 0.01 * noise
            name = f"component_{number:02d}_half{half}.mrc"
            write_map(place / name, DensityMap(density, PIXEL))
        places = [-1.6, -0.8, 0.0, 0.8, 1.6]
        for frame, z in enumerate(places, 1):
            name = f"component_{number:02d}_frame_{frame:02d}.mrc"
            write_map(place / name, DensityMap(mean + z * along, PIXEL))
        components.append(
            {
                "correlation_of_halves": 0.9 if found else 0.1,
                "reproducible": found,
                "variance": 0.03,
                "share": 1 / len(reproducible),
                "like_the_mean": 0.1,
                "fsc": [0.9, 0.5, 0.2, -0.1],
                "frame_coordinates": places,
            }
        )
    rng = np.random.default_rng(0)
    names = [f"z{n}" for n in range(1, len(reproducible) + 1)]
    rows = [",".join(["image", "half_set", *names, "scale"])]
    for row in range(COUNT):
        values = [f"{value:.3f}" for value in rng.standard_normal(len(names))]
        rows.append(",".join([f"{row:06d}@<a>.mrcs", "1", *values, "1.0"]))
    (place / "coordinates.csv").write_text("\n".join(rows) + "\n")
    told = {
        "version": "1",
        "date": "2026-11-26T12:00:00+00:00",
        "reproducible_components": sum(reproducible),
        "words": ["The first sentence.", "A second <one>."],
        "components": components,
        "particles": COUNT,
        "resolution_angstrom": 20.0,
        "box": BOX,
        "pixel_size_angstrom": PIXEL,
        "settings": {"components": len(reproducible), "mask": None},
    }
    (place / "variability.json").write_text(json.dumps(told))
    return place


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Casting rays is most of the time."""
    monkeypatch.setattr("cryospin.report.variability.SURFACE_PIXELS", 24)


@pytest.mark.parametrize(
    ("reproducible", "mood", "title"),
    [
        ((True, True), "good", "2 of 2 components are reproducible"),
        ((True, False), "doubt", "1 of 2 components are reproducible"),
        ((False,), "bad", "No reproducible variability"),
    ],
)
def test_the_page_says_first_what_is_reproducible(
    tmp_path: Path, reproducible: tuple[bool, ...], mood: str, title: str
) -> None:
    place = write_analysis(tmp_path, reproducible)
    page = write_variability_report(place).read_text()
    first = page[page.index('id="verdict"') - 60 :]
    assert f"<h1>{title}</h1>" in first and f'verdict {mood}"' in first
    assert "A second &lt;one&gt;." in page and "variability of run" in page
    # surfaces along what is reproducible alone, three of each; slices of both halves always
    assert page.count("Surface at") == 3 * sum(reproducible)
    assert len(re.findall(r"Component \d, half \d", page)) == 2 * len(reproducible)
    # nothing is fetched from anywhere
    assert not re.search(r"(?:src|href)=\"(?!data:)", page) and "<script" not in page


def test_frames_differ_and_are_shown_at_their_coordinates(tmp_path: Path) -> None:
    content = content_of(write_analysis(tmp_path, (True,)))
    along = content["components"][0]["along"]
    assert [each["label"] for each in along] == ["-1.6", "+0.0", "+1.6"]
    assert len({each["uri"] for each in along}) == 3
    # one component has no plane to scatter in
    assert [chart["id"] for chart in content["charts"]] == ["agreement", "histograms"]


def test_coordinates_are_read_by_component(tmp_path: Path) -> None:
    place = write_analysis(tmp_path, (True, False))
    found = read_coordinates(place / "coordinates.csv", 2)
    expected = np.random.default_rng(0).standard_normal((COUNT, 2))
    assert np.abs(found - expected).max() < 1e-3
