"""The page as a whole: complete, self-contained, and still made when files are missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cryospin.errors import BadDataError
from cryospin.report.page import write_report

PANELS = {"verdict", "warnings", "numbers", "map", "evidence", "fsc", "halves", "directions"}
PANELS |= {"confidence", "shifts", "search", "time", "settings", "evidence-table", "viewer"}
PANELS |= {"sphere", "views", "slices", "projections", "samples", "rejected", "size"}


class Page(HTMLParser):
    """Element ids, addresses of resources, and tags left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.ids.add(attributes.get("id") or "")
        self.addresses += [attributes[key] or "" for key in ("src", "href") if key in attributes]
        if tag not in ("meta", "img", "link", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(whole_page: Path) -> str:
    """The page of the complete run."""
    return whole_page.read_text()


def test_a_whole_run_shows_every_panel(text: str) -> None:
    page = Page(text)
    assert page.ids >= PANELS
    assert "problems" not in page.ids
    assert not page.open
    assert "Converged" in text
    assert "12.3 Å" in text
    surfaces, slices, projections, halves, charts, samples, rejected = 3, 3, 3, 2, 7, 6, 2
    pictures = surfaces + slices + projections + halves + charts + samples + rejected
    assert text.count("<img") == pictures
    assert "confidence 0.10, correlation 0.05" in text
    assert "2 of 152 images were set aside" in text
    assert "64 Å across, found from the mean" in text and "a circle of 80 Å" in text


def test_the_page_needs_no_network_and_is_small(text: str) -> None:
    assert all(address.startswith("data:") for address in Page(text).addresses)
    assert not re.search(r"@import|url\(|<script [^>]*src|<link|https?://", text)
    assert "default-src 'none'" in text
    assert len(text) < 5_000_000


def test_the_same_run_gives_the_same_page(text: str, whole_run: Path) -> None:
    assert write_report(whole_run).read_text() == text


def test_the_command_is_told_where_the_log_has_it(bare_run: Path) -> None:
    assert "command" not in Page(write_report(bare_run).read_text()).ids
    again = {"event": "run", "command": "cryospin reconstruct <b>.star --out run"}
    (bare_run / "log.jsonl").write_text(json.dumps(again) + "\n")
    text = write_report(bare_run).read_text()
    assert "command" in Page(text).ids and "cryospin reconstruct &lt;b&gt;.star" in text


def test_text_of_the_run_is_escaped(text: str, bare_run: Path, result: dict[str, Any]) -> None:
    assert "run of &lt;ribosomes&gt; &amp; co" in text
    strange = {**result, "reasons": ["<script>alert(1)</script>"]}
    (bare_run / "result.json").write_text(json.dumps(strange))
    assert "<script" not in write_report(bare_run).read_text()


def test_result_alone_still_gives_a_page(bare_run: Path) -> None:
    text = write_report(bare_run).read_text()
    page = Page(text)
    assert page.ids >= {"verdict", "numbers", "search", "time", "settings", "problems"}
    assert not page.ids & {"map", "fsc", "halves", "directions"}
    assert "map.mrc is not there." in text


@pytest.mark.parametrize("content", ["{}", '{"verdict": "interrupted"}'])
def test_an_almost_empty_result_gives_a_page(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    assert not Page(write_report(tmp_path).read_text()).open


def test_broken_files_are_named_and_the_rest_is_shown(run_directory: Path) -> None:
    (run_directory / "map.mrc").write_bytes(b"no map")
    (run_directory / "fsc.star").write_text("data_other\n\n_a 1\n")
    (run_directory / "particles.star").write_text("data_particles\n\nloop_\n_rlnAngleRot\nx y\n")
    text = write_report(run_directory).read_text()
    assert Page(text).ids >= {"halves", "problems"}
    for name in ("map.mrc", "fsc.star", "particles.star"):
        assert f"{name} cannot be shown" in text


def test_a_flat_map_has_slices_but_no_surface(bare_run: Path, whole_run: Path) -> None:
    header = (whole_run / "map.mrc").read_bytes()[:1024]
    (bare_run / "map.mrc").write_bytes(header + bytes(4 * 32**3))
    text = write_report(bare_run).read_text()
    assert "Slices through the centre" in text
    assert "Surface of the map" not in text


def test_not_converged_says_so_first(bare_run: Path, result: dict[str, Any]) -> None:
    failed = {
        **result,
        "verdict": "not converged",
        "resolution_angstrom": {"fsc_0.143": None, "fsc_0.5": None},
    }
    (bare_run / "result.json").write_text(json.dumps(failed))
    text = write_report(bare_run).read_text()
    assert "Do not interpret this map" in text
    assert text.index("Not converged") < text.index("<img")


def test_the_maps_of_a_failed_run_are_found(run_directory: Path, result: dict[str, Any]) -> None:
    kept = run_directory / "not_converged"
    kept.mkdir()
    for name in ("map.mrc", "half1.mrc", "half2.mrc", "particles.star", "fsc.star"):
        (run_directory / name).rename(kept / name)
    (run_directory / "result.json").write_text(json.dumps({**result, "verdict": "not converged"}))
    text = write_report(run_directory).read_text()
    assert Page(text).ids >= PANELS
    assert "not_converged/map.mrc at level" in text


SCORE = {"rotation_error_degrees": {"median": 1.234}, "map": None}


def test_a_score_against_the_truth_is_shown(bare_run: Path, result: dict[str, Any]) -> None:
    score = SCORE | {"run_date": result["date"]}
    (bare_run / "evaluation.json").write_text(json.dumps(score))
    text = write_report(bare_run).read_text()
    assert "evaluation" in Page(text).ids
    assert "1.23°" in text


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("date", ["2025-12-31T23:59:59+00:00", None])
def test_a_score_of_an_earlier_run_is_not(bare_run: Path, date: str | None, finished: bool) -> None:
    """An earlier run in the same folder; one that was evaluated by an earlier version."""
    score = SCORE | ({} if date is None else {"run_date": date})
    (bare_run / "evaluation.json").write_text(json.dumps(score))
    if not finished:
        (bare_run / "result.json").unlink()
        (bare_run / "log.jsonl").write_text(log_of({"event": "begin", "stage": "explore"}))
    text = write_report(bare_run).read_text()
    assert "evaluation" not in Page(text).ids and "1.23°" not in text
    assert "evaluation.json cannot be shown: it is not of this run" in text


def log_of(*events: dict[str, Any]) -> str:
    """Lines of a log, one second apart."""
    time = "2026-01-02T03:04:05+00:00"
    lines = [{"time": time, "seconds": i, **event} for i, event in enumerate(events)]
    return "".join(json.dumps(line) + "\n" for line in lines)


BEGUN = (
    {
        "stage": "start",
        "event": "run",
        "box": 64,
        "pixel_size_angstrom": 2.0,
        "particles": 1234,
        "settings": {"recipe": "exhaustive", "symmetry": "C3"},
    },
    {"stage": "audit", "event": "begin"},
    {"stage": "audit", "event": "screened", "rejected": 3, "rejected_by_reason": {"dust": 3}},
    {"stage": "audit", "event": "stage", "took": 2.0},
    {"stage": "start", "event": "explored", "half": 1, "scores": [1.0, 2.0]},
    {"stage": "refine", "event": "begin"},
    {"stage": "refine", "event": "round", "radius": 8.0, "limit": 9.0, "resolution_angstrom": 14.2},
    {
        "stage": "refine",
        "event": "round",
        "radius": 9.0,
        "limit": 10.0,
        "resolution_angstrom": 12.8,
    },
)


def test_an_interrupted_run_tells_how_far_it_came(tmp_path: Path) -> None:
    # a kill may leave half a line
    (tmp_path / "log.jsonl").write_text(log_of(*BEGUN) + '{"time": "2026')
    text = write_report(tmp_path).read_text()
    page = Page(text)
    assert page.ids >= {"verdict", "numbers", "search", "time", "settings", "rejected"}
    assert not page.ids & {"problems", "map", "fsc"} and not page.open
    assert "Interrupted" in text and "in the stage “refine”, 7.0 s after" in text
    for words in ("12.8 Å", "1,234", "64 px", "C3", "3 of 1,237 images", "exhaustive"):
        assert words in text
    # the open stage counts until the last sign of life
    assert "refine <b>2.0 s</b>" in text and "audit <b>2.0 s</b>" in text


def test_a_run_stopped_twice(tmp_path: Path) -> None:
    """Resumed, it counts from zero again, and the stage it was killed in counts twice."""
    again = ({**BEGUN[0], "resumed": True}, {"stage": "refine", "event": "begin"}, BEGUN[-1])
    (tmp_path / "log.jsonl").write_text(log_of(*BEGUN) + log_of(*again))
    text = write_report(tmp_path).read_text()
    assert "refine <b>3.0 s</b>" in text


def test_a_run_that_had_hardly_begun(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(log_of(*BEGUN[:1]))
    assert "Interrupted" in write_report(tmp_path).read_text()


def test_a_log_of_nothing_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("\n")
    with pytest.raises(BadDataError, match="result.json"):
        write_report(tmp_path)


def test_spoilt_pictures_are_told(bare_run: Path) -> None:
    (bare_run / "samples.npz").write_bytes(b"no zip")
    text = write_report(bare_run).read_text()
    assert "samples.npz cannot be shown" in text
    assert "samples" not in Page(text).ids


@pytest.mark.parametrize("content", [None, "not json", "[1, 2]"])
def test_without_a_result_there_is_no_page(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(BadDataError, match="result.json"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_what_draws_is_imported_when_a_page_is_written() -> None:
    program = "import sys, cryospin.run.solve; print(*{'matplotlib', 'jinja2'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == []
