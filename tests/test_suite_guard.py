"""A suite that skips itself cannot look green: what --enough-tests asks for (see conftest)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ALLOWED = "needs a lens"
SKIPS = {
    "mark": "@pytest.mark.skip(reason={reason!r})\ndef test_it(): pass",
    "call": "def test_it(): pytest.skip({reason!r})",
    "fixture": ("@pytest.fixture\ndef lens(): pytest.skip({reason!r})\ndef test_it(lens): pass"),
    "module": "pytest.skip({reason!r}, allow_module_level=True)",
}


def run(
    pytester: pytest.Pytester, *programs: str, options: tuple[str, ...] = (), minimum: int = 1
) -> tuple[int, str]:
    """Exit code and output of a suite of one test that passes, and of `programs`, a file each."""
    shutil.copy(Path(__file__).with_name("conftest.py"), pytester.path)
    pytester.makeini(
        f"[pytest]\nminimum_executed_tests = {minimum}\nallowed_skips =\n    {ALLOWED}\n"
    )
    files = {f"test_{i}": f"import pytest\n{program}" for i, program in enumerate(programs)}
    pytester.makepyfile(test_passes="def test_it(): pass", **files)
    # plugins that it does not need cost more than the tests
    unused = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:jaxtyping")
    result = pytester.runpytest_inprocess(*unused, *options)
    return int(result.ret), result.stdout.str()


def test_a_skip_that_nobody_allowed_fails(pytester: pytest.Pytester) -> None:
    programs = [way.format(reason=f"the moon is full: {name}") for name, way in SKIPS.items()]
    code, output = run(pytester, *programs, options=("--enough-tests",))
    assert code == 1
    listed = output.partition("skipped for a reason that is not allowed")[2]
    assert all(f"the moon is full: {name}" in listed for name in SKIPS)


def test_a_skip_that_is_listed_does_not(pytester: pytest.Pytester) -> None:
    programs = [way.format(reason=ALLOWED) for way in SKIPS.values()]
    code, output = run(pytester, *programs, options=("--enough-tests",))
    assert code == 0 and f"{len(SKIPS)} skipped" in output


def test_parameters_that_are_none_are_a_skip(pytester: pytest.Pytester) -> None:
    """A glob that finds nothing: pytest skips such a test in silence."""
    program = "@pytest.mark.parametrize('file', [])\ndef test_it(file): pass"
    code, output = run(pytester, program, options=("--enough-tests",))
    assert code == 1 and "got empty parameter set" in output


def test_processes_side_by_side_are_counted_together(pytester: pytest.Pytester) -> None:
    programs = SKIPS["call"].format(reason="the moon is full"), "def test_it(): pass"
    code, output = run(pytester, *programs, options=("--enough-tests", "-n", "2"), minimum=3)
    assert code == 1 and output.count("test_0.py::test_it: the moon is full") == 1
    assert "2 tests executed, 1 fewer than" in output


def test_too_few_tests_fail(pytester: pytest.Pytester) -> None:
    code, output = run(pytester, options=("--enough-tests",), minimum=2)
    assert code == 1 and "1 tests executed, 1 fewer than" in output


def test_enough_tests_do_not(pytester: pytest.Pytester) -> None:
    assert run(pytester, options=("--enough-tests",), minimum=1)[0] == 0


def test_part_of_the_suite_may_be_run(pytester: pytest.Pytester) -> None:
    program = SKIPS["call"].format(reason="the moon is full")
    assert run(pytester, program, minimum=3)[0] == 0
