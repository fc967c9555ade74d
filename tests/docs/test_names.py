"""What the pages name is there: modules, functions, files, commands, options and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cryospin import api
from cryospin.cli.main import build_app
from markdown_blocks import PAGES, ROOT

SOURCE = ROOT / "src" / "cryospin"
LAYERS = {path.stem for path in SOURCE.iterdir() if path.suffix in ("", ".py")}
# particles.star is a file of the user's, not a module
FILE_TYPES = {"star", "cs", "txt", "mrcs", "mrc", "pkl", "json", "jsonl", "html", "py", "npz"}
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def quoted(page: str) -> Iterator[str]:
    """What stands between single backticks outside the blocks of code."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`\n]+)`", text)


def dotted_names(page: str) -> set[str]:
    """`io.star.read_star`, `cryospin.evaluate`: those that begin with a layer of the package."""
    names = {name.removeprefix("cryospin.") for name in quoted(page)}
    return {
        name
        for name in names
        if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name)
        and name.split(".")[0] in LAYERS
        and name.split(".")[-1] not in FILE_TYPES
    }


def resolves(name: str) -> bool:
    """A module of cryospin, or what a chain of attributes of one leads to."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(("cryospin", *parts[:count])))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", {}):
                return False
            found = getattr(found, part, None)
        return True
    return False


def test_a_wrong_name_is_found() -> None:
    assert resolves("io.star.read_star") and resolves("explore.exhaustive")
    assert not resolves("io.star.read_moon") and not resolves("io.moon")


@pytest.mark.parametrize("page", NAMES)
def test_modules_and_functions_exist(page: str) -> None:
    assert [name for name in dotted_names(page) if not resolves(name)] == []


def test_the_journey_names_its_functions() -> None:
    assert len(dotted_names("docs/particles-journey.md")) > 30


@pytest.mark.parametrize("page", NAMES)
def test_source_files_exist(page: str) -> None:
    files = {name for name in quoted(page) if re.fullmatch(r"[\w./-]+(\.py|/)", name)}
    ours = {name for name in files if name.endswith(".py") or name.startswith(("src/", "tests/"))}
    assert [n for n in ours if not ((ROOT / n).exists() or (SOURCE / n).exists())] == []


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(file: Path) -> set[str]:
    """Of the headings, as they are made by what shows Markdown."""
    titles = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", NAMES)
def test_options_exist(page: str) -> None:
    """Every `--option` in running text is one of cryospin's, or of a program that is named."""
    known = {"--help", "--version"} | set(all_options(build_app()))
    others = {"--ind", "--uninvert-data", "--jaxtyping", "--enough-tests", "--data"}
    # RELION's, beside ours in the table of its page; and pip's
    others |= {"--denovo_3dref", "--auto_refine", "--sym", "--particle_diameter", "--ref"}
    others |= {"--ini_high", "--j", "--invert_contrast"}
    ours = [name for name in quoted(page) if name.startswith(("--", "cryospin "))]
    said = {option for name in ours for option in re.findall(r"(?<!\S)--[a-z][\w-]*", name)}
    assert said - known - others == set()


def all_options(command: object) -> Iterator[str]:
    for parameter in getattr(command, "params", []):
        yield from (*parameter.opts, *parameter.secondary_opts)
    for sub in getattr(command, "commands", {}).values():
        yield from all_options(sub)


def test_every_page_is_in_the_contents() -> None:
    contents = (ROOT / "docs" / "README.md").read_text()
    pages = [page.name for page in PAGES if page.parent.name == "docs" and page.name != "README.md"]
    assert [page for page in pages if f"({page})" not in contents] == []


def test_every_public_name_is_in_the_reference() -> None:
    """Names that are not there, and pages without a place in the contents, `make docs` finds."""
    reference = (ROOT / "docs" / "site" / "api.md").read_text()
    listed = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)", reference, re.MULTILINE)
    assert sorted(listed) == sorted(api.__all__)
