"""bench.md and bench.html: what was run, where and when, its tables and its figures."""

from __future__ import annotations

import base64
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from jinja2 import Environment

from cryospin.bench.tables import Table
from cryospin.io.atomic import atomic_path
from cryospin.version import full_version

_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.5 Inter, "Helvetica Neue", Arial, sans-serif; color: #1f2a37;
  max-width: 1100px; margin: 2em auto; padding: 0 1em }
pre { background: #f3f6fa; padding: .8em; overflow-x: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px }
th { text-align: left; color: #6b7785; font-weight: 500; vertical-align: bottom }
th, td { padding: .25em .8em .25em 0; border-bottom: 1px solid #e3e8ee }
img { max-width: 100% }
</style></head><body>
<h1>{{ title }}</h1>
{% for line in circumstances %}<p>{{ line }}</p>{% endfor %}
<pre>{{ command }}</pre>
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% for line in section.words %}<p>{{ line }}</p>{% endfor %}
{% for table in section.tables %}<div class="wide"><table>
<tr>{% for word in table.header %}<th>{{ word }}</th>{% endfor %}</tr>
{% for row in table.rows %}<tr>{% for word in row %}<td>{{ word }}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% endfor %}
{% for name, address in section.pictures %}<img src="{{ address }}" alt="{{ name }}">{% endfor %}
{% endfor %}
</body></html>
"""


PAGES = ("bench.md", "bench.html")


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, then tables, then figures (SVG files beside the page)."""

    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Path, ...] = ()

    @property
    def pictures(self) -> list[tuple[str, str]]:
        """Name and data URI of each figure."""
        head = "data:image/svg+xml;base64,"
        return [
            (path.stem, head + base64.b64encode(path.read_bytes()).decode())
            for path in self.figures
        ]

    def markdown(self) -> str:
        parts = [f"## {self.title}", *self.words, *(table.markdown() for table in self.tables)]
        parts += [f"![{path.stem}]({path.name})" for path in self.figures]
        return "\n\n".join(parts)


def circumstances(device: str) -> list[str]:
    """Date, processor and versions: what a figure is worth nothing without."""
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {processor_name()}, {len(os.sched_getaffinity(0))} cores"
        if hasattr(os, "sched_getaffinity")
        else f"{datetime.now(UTC):%Y-%m-%d}, {processor_name()}, {os.cpu_count()} cores"
    ]
    if hasattr(os, "getloadavg"):
        lines[0] += f"; load at the end {os.getloadavg()[2]:.1f} (mean of 15 minutes)"
    if device == "cuda" and torch.cuda.is_available():
        lines.append(f"Device: {torch.cuda.get_device_name()}")
    names = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "numba"))
    lines.append(f"cryospin {full_version()}, Python {platform.python_version()}, {names}.")
    return lines


def processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def write_page(
    out: Path, title: str, command: str, sections: list[Section], device: str = "cpu"
) -> tuple[Path, Path]:
    """OUT/bench.md with its figures beside it, and OUT/bench.html with all in one file."""
    told = circumstances(device)
    parts = [f"# {title}", *told, f"```\n{command}\n```"]
    markdown = "\n\n".join([*parts, *(section.markdown() for section in sections)]) + "\n"
    template = Environment(autoescape=True).from_string(_TEMPLATE)
    page = template.render(title=title, command=command, circumstances=told, sections=sections)
    paths = [out / name for name in PAGES]
    for path, text in zip(paths, (markdown, page), strict=True):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return paths[0], paths[1]
