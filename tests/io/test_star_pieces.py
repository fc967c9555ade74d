"""Large STAR files are read in pieces, and read as small ones are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.errors import BadDataError
from cryospin.io import star as star_module
from cryospin.io.star import StarFile, read_star, tokens_of
from cryospin.io.star_writer import write_star

# lines that are rows of three values, and lines that are something else
ROWS = st.lists(
    st.sampled_from(
        ["a 1 2", "  b\t3  4 ", "data_x 5 6", "_y 1 2", "é 1 2", "loop_ 1 2"]
        + ["'a b' 1 2", "a 1 2 # note", "# note", "", "it's 1 2"]
        + ["a 1", "a 1 2 3", ";", "data_b", "_p 1", "_q", "loop_"]
    ),
    max_size=20,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(lines=ROWS, size=st.integers(1, 60))
def test_many_rows_at_once_are_read_as_one_after_another(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], size: int
) -> None:
    """In pieces of any size, whichever way a piece is read, tokens and errors are the same."""
    path = tmp_path_factory.getbasetemp() / "pieces.star"
    text = "data_a\nloop_\n_x\n_y\n_z\nfirst 1 2\n" + "\n".join(lines)
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(star_module._Reader, "read_plain_rows", lambda *_: False)
        expected = outcome(path)
        patched.undo()
        patched.setattr(star_module, "_PIECE_BYTES", size)
        assert outcome(path) == expected


def outcome(path: Path) -> StarFile | str:
    try:
        return read_star(path)
    except BadDataError as error:
        return str(error)


def test_large_tables_go_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows as RELION writes them, only those of the first piece are looked at one by one."""
    lines = [f"{i:06d}@Extract/a.mrcs {i:12.6f} {-i:12d} \n" for i in range(3000)]
    text = "data_particles\n\nloop_\n_x #1 \n_y #2 \n_z #3 \n" + "".join(lines)
    (tmp_path / "in.star").write_text(text + "\n")
    monkeypatch.setattr(star_module, "_PIECE_BYTES", 4096)
    looked_at: list[bytes] = []

    def slowly(line: bytes) -> list[bytes]:
        looked_at.append(line)
        return tokens_of(line)

    monkeypatch.setattr(star_module, "tokens_of", slowly)
    star = read_star(tmp_path / "in.star")
    assert len(star.blocks["particles"]) == 3000
    assert len(looked_at) < 300
    write_star(tmp_path / "out.star", star)
    written = [line.split() for line in (tmp_path / "out.star").read_text().splitlines()]
    assert written[-3001:-1] == [line.split() for line in lines]


@pytest.mark.parametrize(
    ("line", "problem", "row"),
    [
        ("a 1", "line 1206: 2 values for 3 columns", 1201),
        ("a \0 1", "line 1206 holds a zero byte", None),
        (";", "line 1206: a text of several lines", None),
    ],
)
def test_places_far_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, problem: str, row: int | None
) -> None:
    monkeypatch.setattr(star_module, "_PIECE_BYTES", 1000)
    lines = ["data_a", "loop_", "_x", "_y", "_z", *["a 1 2"] * 1200, line, "a 1 2"]
    path = tmp_path / "in.star"
    path.write_text("\n".join(lines))
    with pytest.raises(BadDataError, match=problem) as refusal:
        read_star(path)
    assert refusal.value.row == row
    path = tmp_path / "latin.star"
    path.write_bytes(("data_a\nloop_\n_x\n" + "a\n" * 1200).encode() + b"\xe9\n")
    with pytest.raises(BadDataError, match="byte 2416 is not UTF-8"):
        read_star(path)
