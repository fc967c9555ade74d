"""What all tests share: the options of the suite, run-time shape checks, and the guard against
tests that are skipped without anybody noticing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from report.browser import Browser, browser

# before torch or numba are imported: see cryospin.cli.main
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# before triton is: without a card its programs run in its interpreter
if os.environ.get("CRYOSPIN_TEST_DEVICE", "cpu") == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")

SOURCE = Path(__file__).parents[1] / "src"
MINIMUM = "minimum_executed_tests"
ALLOWED_SKIPS = "allowed_skips"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--jaxtyping",
        action="store_true",
        help="check shapes and types of every annotated function of cryospin at run time",
    )
    parser.addoption(
        "--enough-tests",
        action="store_true",
        help=f"fail when fewer than {MINIMUM} (pyproject.toml) tests execute, or when one is "
        f"skipped for a reason that is not in {ALLOWED_SKIPS}",
    )
    parser.addoption(
        "--data",
        default=os.environ.get("CRYOSPIN_DATA"),
        metavar="DIR",
        help="folder of public data for the optional tests (default: $CRYOSPIN_DATA)",
    )
    parser.addini(MINIMUM, "number of tests that must execute under --enough-tests", default="1")
    parser.addini(ALLOWED_SKIPS, "reasons to skip a test under --enough-tests", type="linelist")


def modules_to_check() -> list[str]:
    """Every module but those that numba or Triton compiles: neither can compile a function
    wrapped by a check."""
    files = [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"]
    compilers = ("import numba", "import triton")
    plain = [path for path in files if not any(name in path.read_text() for name in compilers)]
    return [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in plain]


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--jaxtyping"):
        from jaxtyping import install_import_hook

        install_import_hook(modules_to_check(), "run_time_checks.checked")
    if not hasattr(config, "workerinput"):
        from cryospin.kernels.compiled import compile_once

        compile_once()


def executed_count(config: pytest.Config) -> int:
    """Tests that ran to a verdict; skipped and uncollected ones are what the guard is about."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    verdicts = ("passed", "failed", "xfailed", "xpassed")
    return sum(len(reporter.stats.get(verdict, [])) for verdict in verdicts)


def is_guarded(config: pytest.Config) -> bool:
    """Only the process that hears of every test can count them, and only when asked to."""
    is_worker = hasattr(config, "workerinput")
    return not is_worker and config.getoption("--enough-tests")


def missing_tests(config: pytest.Config) -> int:
    """How many tests short of the minimum this run is."""
    return max(0, int(config.getini(MINIMUM)) - executed_count(config))


def unlisted_skips(config: pytest.Config) -> list[str]:
    """Skipped tests with their reasons, as far as nobody allowed these."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = [
        (report.nodeid, report.longrepr[2].removeprefix("Skipped: "))
        for report in reporter.stats.get("skipped", [])
    ]
    allowed = config.getini(ALLOWED_SKIPS)
    return [f"{test}: {reason}" for test, reason in skipped if reason not in allowed]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if is_guarded(config) and (missing_tests(config) or unlisted_skips(config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not is_guarded(config):
        return
    if short := missing_tests(config):
        terminalreporter.section("too few tests executed", red=True)
        terminalreporter.line(
            f"{executed_count(config)} tests executed, {short} fewer than {MINIMUM} in "
            "pyproject.toml; the reasons for skipping stand above."
        )
    if unlisted := unlisted_skips(config):
        terminalreporter.section("skipped for a reason that is not allowed", red=True)
        for line in unlisted:
            terminalreporter.line(line)
        terminalreporter.line(f"Mend them, or add the reason to {ALLOWED_SKIPS} in pyproject.toml.")


@pytest.fixture(scope="session")
def data_directory(request: pytest.FixtureRequest) -> Path:
    """The folder of public data; tests that want it are skipped where there is none."""
    place = request.config.getoption("--data")
    if not place:
        pytest.skip("needs public data: set CRYOSPIN_DATA or say --data DIR")
    if not Path(place).is_dir():
        pytest.fail(f"--data / CRYOSPIN_DATA names no folder: {place}")
    return Path(place)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser without a window."""
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver
