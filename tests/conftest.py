"""What all tests share: the options of the suite, run-time shape checks, the count guard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# before torch or numba are imported: see cryospin.cli.main
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

SOURCE = Path(__file__).parents[1] / "src"
MINIMUM = "minimum_executed_tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--jaxtyping",
        action="store_true",
        help="check shapes and types of every annotated function of cryospin at run time",
    )
    parser.addoption(
        "--enough-tests",
        action="store_true",
        help=f"fail when fewer than {MINIMUM} (pyproject.toml) tests execute",
    )
    parser.addoption(
        "--data",
        default=os.environ.get("CRYOSPIN_DATA"),
        metavar="DIR",
        help="folder of public data for the optional tests (default: $CRYOSPIN_DATA)",
    )
    parser.addini(MINIMUM, "number of tests that must execute under --enough-tests", default="1")


def modules_to_check() -> list[str]:
    """Every module but those numba compiles: it cannot compile a function wrapped by a check."""
    files = [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"]
    plain = [path for path in files if "import numba" not in path.read_text()]
    return [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in plain]


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--jaxtyping"):
        from jaxtyping import install_import_hook

        install_import_hook(modules_to_check(), "run_time_checks.checked")


def executed_count(config: pytest.Config) -> int:
    """Tests that ran to a verdict; skipped and uncollected ones are what the guard is about."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    verdicts = ("passed", "failed", "xfailed", "xpassed")
    return sum(len(reporter.stats.get(verdict, [])) for verdict in verdicts)


def missing_tests(config: pytest.Config) -> int:
    """How many tests short of the minimum this run is; 0 unless --enough-tests was said."""
    is_worker = hasattr(config, "workerinput")
    if is_worker or not config.getoption("--enough-tests"):
        return 0
    return max(0, int(config.getini(MINIMUM)) - executed_count(config))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if missing_tests(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if short := missing_tests(config):
        terminalreporter.section("too few tests executed", red=True)
        terminalreporter.line(
            f"{executed_count(config)} tests executed, {short} fewer than {MINIMUM} in "
            "pyproject.toml; the reasons for skipping stand above."
        )


@pytest.fixture(scope="session")
def data_directory(request: pytest.FixtureRequest) -> Path:
    """The folder of public data; tests that want it are skipped where there is none."""
    place = request.config.getoption("--data")
    if not place:
        pytest.skip("needs public data: set CRYOSPIN_DATA or say --data DIR")
    if not Path(place).is_dir():
        pytest.fail(f"--data / CRYOSPIN_DATA names no folder: {place}")
    return Path(place)
