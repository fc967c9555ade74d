"""Every command and example of the documentation does what it says, at toy size."""

from __future__ import annotations

import io
import re
import subprocess
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from cryospin.cli.main import main
from markdown_blocks import (
    LANGUAGES,
    PAGES,
    REASONS,
    ROOT,
    Block,
    at_toy_size,
    blocks_of,
    commands_of,
)

BLOCKS = {str(page.relative_to(ROOT)): list(blocks_of(page)) for page in PAGES}
WITH_BLOCKS = [name for name, blocks in BLOCKS.items() if blocks]


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_run(page: str, workspace: Path) -> None:
    """In order, in one folder, as a reader would who goes down the page."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCKS[page]:
        if block.not_run is not None or block.language == "text":
            continue
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.code, str(block.page), "exec"), names)
        else:
            run_shell(block)


def run_shell(block: Block) -> None:
    commands = commands_of(block.code)
    for words in commands:
        expected = block.exit_code if words is commands[-1] else 0
        assert run(at_toy_size(words)) == expected, f"{block}: {' '.join(words)}"


def run(words: list[str]) -> int:
    """Exit code of a command line: cryospin's in this process, where torch is loaded already."""
    target = None
    if words[0] == "cryospin" and ">" in words:
        words, target = words[: words.index(">")], words[words.index(">") + 1]
    if words[0] != "cryospin" or any(re.fullmatch(r"[();<>|&]+", word) for word in words):
        line = " ".join(words)
        return subprocess.run(["bash", "-o", "pipefail", "-c", line], check=False).returncode
    with redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit) as stop:
        main(words[1:])
    if target is not None:
        Path(target).write_text(printed.getvalue())
    return int(stop.value.code or 0)


@pytest.mark.parametrize("page", BLOCKS)
def test_every_fence_is_a_block_with_a_language(page: str) -> None:
    text = (ROOT / page).read_text()
    assert text.count("```") == 2 * len(BLOCKS[page])
    assert {block.language for block in BLOCKS[page]} <= set(LANGUAGES)


def test_few_blocks_are_not_run_and_say_why() -> None:
    code = [b for blocks in BLOCKS.values() for b in blocks if b.language != "text"]
    left_out = [block for block in code if block.not_run is not None]
    assert {block.not_run for block in left_out} <= set(REASONS)
    long = [block for block in left_out if block.not_run == "hours of work"]
    # pages of measurements, and the way of a data set nobody has here
    measured = {
        f"{page}.md"
        for page in (
            "benchmarks",
            "mixtures",
            "pairs",
            "recipes",
            "scaling",
            "side-by-side",
            "variability",
            "verdicts",
        )
    }
    assert {block.page.name for block in long} <= measured
    others = [block for block in left_out if block not in long]
    assert len(others) <= 0.3 * len(code)


@pytest.mark.parametrize(
    "block", [b for blocks in BLOCKS.values() for b in blocks if b.not_run], ids=str
)
def test_options_of_what_is_not_run_exist(block: Block, tmp_path: Path) -> None:
    """At least every option and sub-command is one that the command line knows."""
    for words in commands_of(block.code):
        if words[0] == "cryospin":
            options = [word for word in words if word.startswith("--")]
            group = [word for word in words[1:3] if re.fullmatch(r"[a-z-]+", word)]
            with redirect_stdout(io.StringIO()) as help_text, pytest.raises(SystemExit):
                main([*group[: 2 if group[0] == "bench" else 1], "--help"])
            assert [o for o in options if o not in help_text.getvalue()] == []
