"""Work that ranks share: whole pieces, each done by one, results for everyone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cryospin.errors import UsageError
from cryospin.journal import ranks
from rank_program import ended, processes

PROGRAM = """
import sys, torch
from cryospin.errors import BadDataError
from cryospin.journal import ranks as r

def half(number):
    doing = r.each([lambda i=i: (number, i, r.number()) for i in range(3)])
    word = r.led(lambda: f"half {number} by {r.number()}")
    return {"each": doing, "led": word, "ranks": r.count(), "sum": torch.arange(3.0) + number}

def fails(number):
    if number == 1:
        raise BadDataError("half 1", row=7, fix="mend it")
    return number

with r.ranks():
    found = r.of_halves(half)
    assert [f["sum"].tolist() for f in found] == [[0, 1, 2], [1, 2, 3]]
    (second,) = r.of_halves(half, (1,))
    assert second["led"] == found[1]["led"]
    alone = r.led(lambda: r.number())
    try:
        r.of_halves(fails)
        raised = "nothing"
    except BadDataError as error:
        raised = str(error)
    print(r.number(), r.holds(0), r.holds(1), [f["led"] for f in found],
          [f["ranks"] for f in found], [f["each"] for f in found], alone, raised, sep=" | ")
assert r.number() == 0 and r.count() == 1
"""


def said_by(count: int, folder: Path) -> list[list[str]]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    codes, said = ended(processes(count, [str(program)]))
    assert set(codes) == {0}, said
    lines = [line.split(" | ") for line in said.splitlines() if " | " in line]
    return sorted(lines)


def test_five_ranks(tmp_path: Path) -> None:
    lines = said_by(5, tmp_path)
    assert [line[0] for line in lines] == ["0", "1", "2", "3", "4"]
    assert [line[1] for line in lines] == ["True", "False", "True", "False", "True"]
    assert [line[2] for line in lines] == ["False", "True", "False", "True", "False"]
    # half-set 1 has ranks 0, 2, 4, half-set 2 ranks 1 and 3; pieces go round among them
    expected = [
        "['half 0 by 0', 'half 1 by 1']",
        "[3, 2]",
        "[[(0, 0, 0), (0, 1, 2), (0, 2, 4)], [(1, 0, 1), (1, 1, 3), (1, 2, 1)]]",
        "0",
    ]
    assert all(line[3:7] == expected for line in lines)
    assert all(line[7].startswith("row 7: half 1") for line in lines)


def test_one_rank_calls_and_that_is_all() -> None:
    marker = object()  # nothing that could be sent
    assert ranks.led(lambda: marker) is marker
    assert ranks.each([lambda: marker]) == [marker]
    assert ranks.of_halves(lambda half: (half, marker)) == [(0, marker), (1, marker)]
    assert ranks.of_halves(lambda half: half, (1,)) == [1]
    assert ranks.leads() and ranks.count() == 1 and ranks.number() == 0
    assert ranks.holds(0) and ranks.holds(1)
    with ranks.ranks():
        assert ranks.count() == 1


def test_ranks_that_do_not_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    refused = pytest.raises(UsageError, match="2 ranks do not find each other(.|\n)*torchrun")
    with refused, ranks.ranks():
        pass
    assert not torch.distributed.is_initialized()
