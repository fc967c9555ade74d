"""The rules a reader relies on, read off the source: layers, dependencies, light start-up."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "cryospin"

# each layer imports only from those above it, and nothing of its own row but itself
LAYERS = (
    ("errors", "parallel", "version", "caches", "control_groups", "torchrun"),
    ("threads", "devices", "memory"),
    ("names",),
    ("optics",),
    ("types", "poses"),
    ("fourier",),
    ("rotations",),
    ("ctf",),
    ("aberrations",),
    ("kernels",),
    ("io",),
    ("journal",),
    ("particles",),
    ("volumes",),
    ("imaging",),
    ("pairs",),
    ("explore",),
    ("refine",),
    ("reconstruct",),
    ("recipes",),
    ("mixture",),
    ("simulate", "evaluate", "report"),
    ("variability",),
    ("run",),
    ("campaign",),
    ("api", "bench"),
    ("cli",),
    ("__main__",),
)
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}
# too heavy to import before the command line knows what it was asked for
HEAVY = {"torch", "numba", "numpy", "matplotlib", "scipy", "roma", "mrcfile", "gemmi", "jinja2"}
COPYLEFT = {"healpy", "hpgeom", "cryodrgn", "aspire", "cryojax", "torch_projectors", "pyem"}

SOURCES = sorted(PACKAGE.rglob("*.py"))
names = [str(path.relative_to(PACKAGE)) for path in SOURCES]


def packages_of(files: list[Path]) -> set[str]:
    """Top-level packages that `files` import."""
    trees = (ast.parse(path.read_text()) for path in files)
    return {dotted.split(".")[0] for tree in trees for dotted in imports(tree)}


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names imported anywhere under `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer: write cryospin.layer.module"
            module = node.module or ""
            # `from cryospin import ctf` names a layer in its alias
            if module == "cryospin":
                yield from (f"cryospin.{alias.name}" for alias in node.names)
            else:
                yield module


def layer_of(dotted: str) -> str | None:
    """`cryospin.io.star` -> `io`; None for other packages and for cryospin.__version__."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "cryospin" and len(parts) > 1 and parts[1] in DEPTH else None


def declared(*extras: str) -> set[str]:
    """Import names of the dependencies in pyproject.toml, with those of `extras`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][e] for e in extras)]
    lines = [line for group in groups for line in group]
    return {re.split(r"[^A-Za-z0-9_-]", line)[0].replace("-", "_") for line in lines}


@pytest.mark.parametrize("path", SOURCES, ids=names)
def test_imports_point_up_the_layers(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    assert own in DEPTH, f"{own} has no place in LAYERS"
    for dotted in imports(ast.parse(path.read_text())):
        layer = layer_of(dotted)
        assert layer is None or layer == own or DEPTH[layer] < DEPTH[own], f"imports {dotted}"


def test_third_party_imports_are_declared() -> None:
    third_party = packages_of(SOURCES) - set(sys.stdlib_module_names) - {"cryospin"}
    # torch for CUDA brings triton, and without a card it is not imported
    assert third_party <= declared() | {"triton"}


def test_no_copyleft_dependency() -> None:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert not COPYLEFT & (packages_of([*SOURCES, *tests]) | declared("test", "dev"))


def test_no_pickle() -> None:
    """A pickled file runs code when it is read."""
    assert not {"pickle", "dill", "cloudpickle", "joblib"} & packages_of(SOURCES)


def test_no_private_paths() -> None:
    """Nothing names a folder of the machine it was written on."""
    private = re.compile(r"[\"'\s(=`]/" + r"(work|root|home|Users|tmp)/")
    folders = ("src", "tests", "benchmarks", "docs", ".ci")
    suffixes = {".py", ".md", ".toml", ".html", ".j2", ""}
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in suffixes
    ]
    offenders = [str(path.relative_to(ROOT)) for path in files if private.search(path.read_text())]
    assert not offenders


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda p: p.name)
def test_command_modules_are_light_at_the_top(path: Path) -> None:
    top_level = ast.Module(
        [node for node in ast.parse(path.read_text()).body if not _is_deferred(node)], []
    )
    for dotted in imports(top_level):
        assert dotted.split(".")[0] not in HEAVY, f"{dotted}: import it inside the command"
        assert layer_of(dotted) in (None, "errors", "threads", "torchrun", "cli"), (
            f"{dotted}: inside the command"
        )


def _is_deferred(node: ast.stmt) -> bool:
    """Functions run later, and `if TYPE_CHECKING:` never."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    )


def test_building_the_command_line_imports_nothing_heavy() -> None:
    program = (
        "import sys; from cryospin.cli.main import build_app; build_app(); "
        f"print(*sorted(set(sys.modules) & {HEAVY!r}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
