"""The page of a run at work as who watches sees it, in Chromium where there is one."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import uvicorn

from cryospin.report.live import LivePage
from cryospin.report.serve import LOOPBACK, application
from report.browser import BINARY, Browser
from report.live_runs import BEGUN, REFINING

pytestmark = pytest.mark.skipif(
    BINARY is None, reason="needs Chromium on the PATH (Debian package chromium)"
)


def until(chromium: Browser, expression: str) -> None:
    """Wait for what the page comes to by itself."""
    end = time.monotonic() + 60
    while not chromium.ask(expression):
        assert time.monotonic() < end, f"never: {expression}"
        time.sleep(0.1)


def titled(words: str) -> str:
    return f"document.title.includes({words!r})"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of `cryospin watch` for the folder."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        app = application(tmp_path, "token")
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://{LOOPBACK}:{taken.getsockname()[1]}/token/"
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_page_opened_as_a_file_follows_the_run_to_its_report(
    chromium: Browser, tmp_path: Path, whole_page: Path, width: int, scheme: str
) -> None:
    page = tmp_path / "report.html"
    with LivePage(tmp_path) as live:
        for line in BEGUN:
            live.hear(line)
        live._write()
        chromium.open(page, width, scheme=scheme)
        assert chromium.ask(titled("Looking at every image"))
        chromium.ask("document.getElementById('command').dataset.mine = 'kept'; scrollTo(0, 150)")
        for line in REFINING[len(BEGUN) :]:
            live.hear(line)
        live.progress("refine", 3, 12)
        until(chromium, titled("Refining"))
        assert "agree to 12.4 Å so far" in chromium.ask("document.body.textContent")
        # it was not loaded again, and nothing jumped
        assert chromium.ask("document.getElementById('command').dataset.mine") == "kept"
        assert chromium.ask("scrollY") == 150
        panels = "['verdict', 'numbers', 'phases', 'fsc', 'turns', 'events', 'time', 'command']"
        order = f"{panels}.map(id => document.getElementById(id).getBoundingClientRect().top)"
        places = chromium.ask(order)
        assert places == sorted(places)
        assert chromium.ask("document.documentElement.scrollWidth") <= width
        assert chromium.ask("document.querySelector('#freshness').className") == ""
        live.end()
        shutil.copy(whole_page, tmp_path / "new")
        os.replace(tmp_path / "new", page)
    until(chromium, titled("Converged"))
    assert chromium.complaints() == []
    asked = {address.split("?")[0] for address in chromium.requests()}
    assert asked == {page.resolve().as_uri()}
    # asking left no steps behind for the browser's "back" to go through
    assert chromium.ask("history.length") <= 3


@pytest.mark.parametrize("width", [1280, 390])
def test_maps_are_drawn_as_they_form(chromium: Browser, tmp_path: Path, width: int) -> None:
    def ball(radius: float) -> torch.Tensor:
        x = torch.linspace(-1, 1, 32)
        return torch.exp(-(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2) / radius**2)

    canvas = "document.querySelector('canvas[data-half=\"half-set 1\"]')"
    with LivePage(tmp_path, dict, REFINING) as live:
        chromium.open(tmp_path / "report.html", width)
        live.see("map", 1, lambda: ball(0.2))
        live.see("views", 1, lambda: torch.eye(3).expand(100, 3, 3))
        until(chromium, f"{canvas} !== null && drawn.has('half-set 1')")
        assert chromium.ask(f"{canvas}.clientWidth") > 200
        chromium.ask("taken = true; camera.turn(0.5, 0)")
        turned = chromium.ask("[...camera.rotation]")
        first = chromium.ask("drawn.get('half-set 1').bytes")
        live._next_look.clear()
        live.see("map", 1, lambda: ball(0.4))
        until(chromium, f"drawn.get('half-set 1').bytes !== {first!r}")
        # on the same canvas, seen from where the reader has turned it to
        assert chromium.ask("[...camera.rotation]") == turned
        assert chromium.ask(f"drawn.get('half-set 1').canvas === {canvas}")
        assert chromium.ask("document.documentElement.scrollWidth") <= width
        broken = "[...document.images].filter(i => !i.naturalWidth).length"
        assert chromium.ask(broken) == 0
    assert chromium.complaints() == []


def test_a_run_that_was_killed_is_seen_to_be_silent(chromium: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    with LivePage(tmp_path, dict, REFINING) as live:
        live.end()
    text = page.read_text()
    start = text.index('data-written="') + len('data-written="')
    page.write_text(text[:start] + "2026-01-02T03:04:05" + text[text.index('"', start) :])
    chromium.open(page, 1280)
    until(chromium, "document.querySelector('#freshness.silent') !== null")
    assert "if the run was killed, --resume goes on" in chromium.ask("document.body.textContent")
    # it is continued
    with LivePage(tmp_path, dict, REFINING):
        until(chromium, "document.querySelector('#freshness.silent') === null")
    assert chromium.complaints() == []


def test_a_run_that_stopped_says_so(chromium: Browser, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), LivePage(tmp_path, dict, REFINING):
        chromium.open(tmp_path / "report.html", 1280)
        raise KeyboardInterrupt
    until(chromium, titled("Stopped"))
    assert chromium.ask("document.getElementById('freshness').textContent").startswith("stopped at")


def test_the_server_tells_at_once(
    chromium: Browser, tmp_path: Path, whole_page: Path, served: str
) -> None:
    log = tmp_path / "log.jsonl"
    with LivePage(tmp_path, dict, REFINING) as live:
        chromium.open(served, 1280)
        # not by asking every few seconds
        chromium.ask("for (let i = 0; i < 1000; i++) clearInterval(i)")
        time.sleep(0.5)
        log.write_text(
            '{"event": "begin", "stage": "symmetry", "time": "2026-01-02T03:05:06+00:00"}\n'
        )
        until(chromium, "document.body.textContent.includes('symmetry: begin')")
        live.progress("look for symmetry", 1, 3)
        until(chromium, "document.body.textContent.includes('look for symmetry')")
    shutil.copy(whole_page, tmp_path / "report.html")
    chromium.open(served, 1280)
    assert chromium.ask(titled("Converged"))
    assert chromium.complaints() == []
