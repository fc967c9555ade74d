"""Any number of ranks gives the bits of one, also where one of them is killed on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryospin.errors import UsageError
from options import options_with
from rank_program import ended, started


def found_in(out: Path) -> dict[str, bytes]:
    """What a run found, whatever its verdict."""
    return {
        path.name: path.read_bytes()
        for path in out.rglob("*")
        if path.name in ("map.mrc", "half1.mrc", "half2.mrc", "particles.star", "fsc.star")
    }


@pytest.fixture(scope="module")
def alone(table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("alone") / "run"
    codes, said = ended(started(1, table, out))
    assert codes[0] in (0, 4), said
    found = found_in(out)
    assert len(found) == 5
    return found


@pytest.mark.parametrize("count", [2, 3])
def test_the_bits_of_one(table: Path, tmp_path: Path, alone: dict[str, bytes], count: int) -> None:
    codes, said = ended(started(count, table, tmp_path / "run"))
    assert set(codes) in ({0}, {4}), said
    assert found_in(tmp_path / "run") == alone
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_ranks_of_two_cards(table: Path, tmp_path: Path) -> None:
    """Pretended ones: what a rank is sent is where it was on the other's."""
    codes, said = ended(started(2, table, tmp_path / "run", "--elsewhere"))
    assert set(codes) in ({0}, {4}), said
    assert "computing elsewhere" in said


@pytest.mark.parametrize(
    ("doomed", "part", "state", "then"),
    [(1, "half2/attempt1/explore", 2, 1), (0, "refine", 1, 2), (2, "assigned", 1, 2)],
    ids=["exploring", "leader, refining", "helper"],
)
def test_a_rank_is_killed(
    table: Path,
    tmp_path: Path,
    alone: dict[str, bytes],
    doomed: int,
    part: str,
    state: int,
    then: int,
) -> None:
    """The others end too, and any number of ranks goes on from there."""
    out = tmp_path / "run"
    codes, said = ended(started(3, table, out, "--die", part, state, doomed=doomed))
    assert codes[doomed] == -9 and 0 not in codes and 4 not in codes, said
    assert "another rank has ended" in said and "--resume" in said
    codes, said = ended(started(then, table, out, "--resume"))
    assert set(codes) in ({0}, {4}), said
    assert found_in(out) == alone


def test_an_error_is_everyones(table: Path, tmp_path: Path) -> None:
    failing = started(3, table, tmp_path / "run", "--fail", "half2", doomed=1)
    codes, said = ended(failing)
    assert codes == [3, 3, 3] and "made up" in said


def test_images_in_a_file(table: Path, tmp_path: Path) -> None:
    runs = []
    for count in (1, 3):
        codes, said = ended(started(count, table, tmp_path / str(count), "--file"))
        assert set(codes) in ({0}, {4}), said
        runs.append(found_in(tmp_path / str(count)))
    assert runs[0] == runs[1]


def test_what_ranks_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    options_with()
    for asked in ({"classes": 2}, {"recipe": "cryospin"}):
        with pytest.raises(UsageError, match="2 ranks were started together(.|\n)*fix:"):
            options_with(**asked)
