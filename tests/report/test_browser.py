"""The page as a reader meets it, in Chromium where there is one: it opens quickly and in silence,
asks for nothing, shows every panel on a screen of any width, and what can be moved moves."""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from report.browser import BINARY, PATIENCE_SECONDS, Browser
from report.test_mixture import PANELS as MIXTURE_PANELS
from report.test_page import PANELS

pytestmark = pytest.mark.skipif(
    BINARY is None, reason="needs Chromium on the PATH (Debian package chromium)"
)

MOST_SECONDS, MOST_BYTES = 2.0, 15_000_000
READY = "document.documentElement.dataset.ready"


def opened(chromium: Browser, page: Path, width: int, scheme: str = "light") -> None:
    """The page, with its programs run."""
    chromium.open(page, width, scheme=scheme)
    end = time.monotonic() + PATIENCE_SECONDS
    while chromium.ask(READY) is None:
        assert time.monotonic() < end, "the page's programs did not come to their end"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def desk(chromium: Browser, whole_page: Path) -> Browser:
    """The page on a wide screen."""
    opened(chromium, whole_page, 1280)
    return chromium


def all_panels_are_seen(chromium: Browser, panels: set[str], width: int) -> None:
    """On a screen of this width, none sticking out, with all pictures."""
    sizes = f"Object.fromEntries({json.dumps(sorted(panels))}.map(id => " + (
        "{const r = document.getElementById(id).getBoundingClientRect();"
        " return [id, [r.left, r.right, r.height]]}))"
    )
    for name, (left, right, height) in chromium.ask(sizes).items():
        assert right - left > 100 and height > 30, f"{name} is not to be seen"
        assert left >= 0 and right <= width, f"{name} sticks out"
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(i => !i.naturalWidth).length"
    assert chromium.ask(broken) == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_opens_quickly_with_every_panel(
    chromium: Browser, whole_page: Path, width: int, scheme: str
) -> None:
    # of processor time, which other work on the machine does not lengthen
    chromium.call("Performance.enable", timeDomain="threadTicks")
    opened(chromium, whole_page, width, scheme)
    metrics = chromium.call("Performance.getMetrics")["metrics"]
    spent = {metric["name"]: metric["value"] for metric in metrics}
    assert 0 < spent["TaskDuration"] < MOST_SECONDS
    assert chromium.complaints() == []
    assert chromium.requests() == [whole_page.resolve().as_uri()]
    all_panels_are_seen(chromium, PANELS, width)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_mixture_is_shown_with_every_panel(
    chromium: Browser, mixture_page: Path, width: int, scheme: str
) -> None:
    chromium.open(mixture_page, width, scheme=scheme)
    assert chromium.complaints() == []
    assert chromium.requests() == [mixture_page.resolve().as_uri()]
    all_panels_are_seen(chromium, MIXTURE_PANELS, width)


def test_it_can_be_mailed(whole_page: Path) -> None:
    assert whole_page.stat().st_size < MOST_BYTES


def coverage(chromium: Browser) -> np.ndarray:
    """Where the viewer's canvas shows the surface, (d, d) booleans."""
    uri = chromium.ask("document.querySelector('#viewer canvas').toDataURL()")
    return imread(io.BytesIO(base64.b64decode(uri.split(",")[1])))[..., 3] > 0.5


def test_the_viewer_draws_what_the_still_picture_shows(desk: Browser) -> None:
    """The same surface, seen from the same side, with the same hand."""
    drawn = coverage(desk)
    still = desk.ask("document.querySelector('#views img').src")
    expected = imread(io.BytesIO(base64.b64decode(still.split(",")[1])))[..., 3] > 0.5
    places = np.arange(len(expected)) * len(drawn) // len(expected)
    drawn = drawn[np.ix_(places, places)]
    assert 0.02 < drawn.mean() < 0.9
    assert (drawn & expected).sum() / (drawn | expected).sum() > 0.95


def test_what_can_be_moved_moves(desk: Browser) -> None:
    first = coverage(desk)

    def moved(script: str) -> np.ndarray:
        desk.ask(script + "; camera.viewers.forEach(viewer => viewer.draw())")
        return coverage(desk)

    def slid(name: str, value: int) -> str:
        slider = f"document.getElementById('{name}')"
        return f"{slider}.value = {value}; {slider}.dispatchEvent(new Event('input'))"

    assert moved(slid("level", 900)).mean() < 0.8 * first.mean()
    back = moved("document.getElementById('reset').click()")
    assert (back == first).mean() > 0.99
    box = desk.ask(
        "document.querySelector('#viewer canvas').scrollIntoView(),"
        "(r => [r.x + r.width / 2, r.y + r.height / 2])"
        "(document.querySelector('#viewer canvas').getBoundingClientRect())"
    )
    for kind, x in (("mousePressed", 0), ("mouseMoved", 90), ("mouseReleased", 90)):
        event = {"type": kind, "x": box[0] + x, "y": box[1], "button": "left", "buttons": 1}
        desk.call("Input.dispatchMouseEvent", clickCount=1, **event)
    turned = moved("0")
    assert (turned == first).mean() < 0.99
    assert (moved("document.querySelector('[data-view]').click()") == first).mean() > 0.99
    pixels = "document.querySelector('#slices canvas').toDataURL()"
    middle = desk.ask(pixels)
    desk.ask(slid("depth", 12))
    assert desk.ask(pixels) != middle


def test_surfaces_of_a_ball(desk: Browser) -> None:
    """isosurface.js on a ball: closed, round, of the right radius, with outward normals."""
    made = desk.ask("""(() => {
      const n = 40, data = new Uint8Array(n ** 3);
      for (let i = 0; i < data.length; i++) {
        const [x, y, z] = [i % n, Math.floor(i / n) % n, Math.floor(i / n / n)].map(c => c - n / 2);
        data[i] = Math.max(0, 250 - 12 * Math.hypot(x, y, z));
      }
      const mesh = isosurface({data, size: n, low: 0, high: 255}, 250 - 12 * 11.3);
      return Object.fromEntries(Object.entries(mesh).map(([name, v]) => [name, [...v]]));
    })()""")
    positions = np.array(made["positions"]).reshape(-1, 3) - 20
    normals = np.array(made["normals"]).reshape(-1, 3)
    triangles = np.array(made["triangles"]).reshape(-1, 3)
    radius = np.linalg.norm(positions, axis=1)
    # 8-bit values are off by up to 1 / 12 voxel, the nets' vertices by about as much
    assert abs(np.median(radius) - 11.3) < 0.1 and np.ptp(radius) < 0.5
    assert (np.sum(normals * positions, axis=1) / radius).min() > 0.95
    edges = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    )
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()
    assert np.min(made["openness"]) > 0.3


def test_without_its_programs_the_still_pictures_stay(
    chromium: Browser, whole_page: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.html"
    text = whole_page.read_text()
    bare.write_text(text[: text.index('<script type="application/json"')] + "</body></html>")
    chromium.open(bare, 390)
    heights = chromium.ask(
        "['viewer', 'sphere', 'views', 'slices']"
        ".map(id => document.getElementById(id).offsetHeight)"
    )
    assert heights[:2] == [0, 0] and min(heights[2:]) > 100
    assert chromium.complaints() == []
