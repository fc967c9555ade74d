"""The code blocks of README.md, CONTRIBUTING.md and docs/, and how a test runs them.

A block stands between fences with its language: `sh`, `python`, or `text` for what is no code.
A block that a test cannot run says why in a comment before it, which readers do not see:

    <!-- not run: REASON -->

with one of `REASONS`. A command that ends in another exit code than 0 says so likewise:

    <!-- exit code 4 -->
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# not the changelog: what it names may be gone
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES = [*FRONT, *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = ("sh", "python", "text")
REASONS = ("installs", "needs another program", "needs a graphics card", "hours of work")
# what simulates does it at toy size, whatever the page says
SHRUNK = {
    "--particles": "300",
    "--box": "32",
    "--pixel-size": "5",
    "--snr": "4",
    "--max-shift": "0",
}
_BLOCK = re.compile(
    r"(?P<comments>(?:^<!--[^\n]*-->\n\n?)*)^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is that of its first line of code, from 1."""

    page: Path
    line: int
    language: str
    code: str
    comments: str

    @property
    def not_run(self) -> str | None:
        """Why a test does not run it."""
        said = re.search(r"<!-- not run: (.*) -->", self.comments)
        return said.group(1) if said else None

    @property
    def exit_code(self) -> int:
        """Of its last command; all before it end with 0."""
        said = re.search(r"<!-- exit code (\d+) -->", self.comments)
        return int(said.group(1)) if said else 0

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(page, line, found["language"], found["code"], found["comments"])


def commands_of(code: str) -> list[list[str]]:
    """The command lines of a shell block as words; continued lines joined, comments gone."""
    commands = []
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        if words := list(lexer):
            commands.append(words)
    return commands


def at_toy_size(words: list[str]) -> list[str]:
    """A command that simulates, with the numbers of `SHRUNK`; others as they are."""
    if words[:2] != ["cryospin", "simulate"]:
        return words
    pairs = zip(["", *words], words, strict=False)
    return [SHRUNK.get(option, word) for option, word in pairs]
