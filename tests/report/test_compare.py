"""Two runs on one page: what they have in common, what differs, and what could not be compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryospin.report.compare import (
    agreement,
    names_of,
    seconds_side_by_side,
    settings_that_differ,
    write_comparison,
)
from cryospin.report.inputs import read_volume
from report.browser import BINARY, Browser
from report.test_page import Page

MAPS = {
    "hand_flipped": True,
    "fsc_0.5_angstrom": 9.4,
    "fsc_0.143_angstrom": 8.1,
    "fsc": [1.0 - shell / 16 for shell in range(16)],
}
POSES = {
    "particles": 150,
    "rotation_error_degrees": {"median": 1.25, "percent_beyond_10": 4.0},
    "shift_error": {"median_angstrom": 0.5},
}
PANELS = {"verdict", "numbers", "runs", "evidence", "fsc", "differences"}


@pytest.fixture
def second(run_directory: Path) -> Path:
    """A run with other settings that took another time."""
    told = json.loads((run_directory / "result.json").read_text())
    told["settings"] |= {"recipe": "crypt <o>", "seed": 3}
    told["seconds"] = {"read": 2.0, "classify": 5.0}
    (run_directory / "result.json").write_text(json.dumps(told))
    return run_directory


def test_both_runs_stand_side_by_side(whole_run: Path, second: Path, tmp_path: Path) -> None:
    moved = read_volume(second / "map.mrc")
    out = tmp_path / "page.html"
    assert write_comparison(whole_run, second, out, moved, MAPS, POSES, ()) == out
    text = out.read_text()
    page = Page(text)
    assert page.ids >= PANELS and not page.open and "problems" not in page.ids
    assert "mirrored and moved onto the first, agrees with it to 9.4 Å (FSC 0.5)" in text
    assert "The poses of 150 particles that both have differ by 1.2° (median)" in text
    assert text.count("<polyline") == 3 and text.count("<img") == 2 * (1 + 3)
    assert "crypt &lt;o&gt;" in text and "run of &lt;ribosomes&gt; &amp; co" in text
    assert all(address.startswith("data:") for address in page.addresses)


@pytest.mark.skipif(BINARY is None, reason="needs Chromium on the PATH (Debian package chromium)")
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen(
    chromium: Browser, whole_run: Path, second: Path, tmp_path: Path, width: int
) -> None:
    out = tmp_path / "page.html"
    write_comparison(whole_run, second, out, read_volume(second / "map.mrc"), MAPS, POSES, ())
    chromium.open(out, width)
    assert chromium.complaints() == []
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    assert chromium.ask("[...document.images].filter(i => !i.naturalWidth).length") == 0


def test_what_could_not_be_compared_is_said(bare_run: Path, tmp_path: Path) -> None:
    shutil.copytree(bare_run, tmp_path / "other", ignore=lambda *_: ["other"])
    out = tmp_path / "page.html"
    write_comparison(bare_run, tmp_path / "other", out, None, None, None, ("The maps are not.",))
    text = out.read_text()
    assert "The maps are not." in text and "map.mrc is not there." in text
    assert "Neither their maps nor their poses" in text and "<polyline" not in text


def test_maps_that_agree_nowhere() -> None:
    words = agreement(MAPS | {"fsc_0.5_angstrom": None}, None)
    assert words["sentence"].startswith("The maps agree at no resolution")


def test_settings_that_differ_are_listed_with_both_values() -> None:
    one = {"settings": {"seed": 0, "recipe": "exhaustive", "command": "a"}, "version": "1"}
    other: dict[str, Any] = {"settings": {"seed": 1, "recipe": "exhaustive", "junk": None}}
    rows = {row["label"]: (row["first"], row["second"]) for row in settings_that_differ(one, other)}
    assert rows == {"seed": ("0", "1"), "junk": ("not given", "not given"), "version": ("1", "")}


def test_times_of_all_stages_of_both() -> None:
    rows = seconds_side_by_side({"seconds": {"read": 1.0}}, {"seconds": {"read": 2.0, "join": 3.0}})
    assert rows == [
        {"label": "read", "first": "1.0 s", "second": "2.0 s"},
        {"label": "join", "first": "", "second": "3.0 s"},
        {"label": "in all", "first": "1.0 s", "second": "5.0 s"},
    ]
    assert seconds_side_by_side({}, {}) == []


def test_runs_of_one_name_are_named_by_their_places() -> None:
    assert names_of(Path("a/run"), Path("b/other")) == ("run", "other")
    assert names_of(Path("a/run"), Path("b/run")) == ("a/run", "b/run")
    assert np.isfinite(MAPS["fsc"]).all()
