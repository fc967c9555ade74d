"""What is written is read back: by us, by gemmi and by RELION's rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from gemmi import cif
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.io.star import StarBlock, StarFile, read_star
from cryospin.io.star_writer import write_star
from cryospin.io.tokens import unquoted

steady = settings(derandomize=True, deadline=None, max_examples=40)

# what any program could have put into a cell, blanks and quotes aside
token = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1)
plain = token.filter(lambda text: text[0] not in "#_;\"'" and not text.startswith("loop_"))
plain = plain.filter(lambda text: not text.startswith("data_"))
simple = st.text("azAZ09@./+-", min_size=1, max_size=9)
table = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(plain, min_size=width, max_size=width), max_size=5)
)


@steady
@given(rows=table, name=st.sampled_from(["", "particles", "model_class_1"]))
def test_tokens_survive_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.star"
    width = len(rows[0]) if rows else 2
    columns = {f"c{i}": [row[i] for row in rows] for i in range(width)}
    star = StarFile({name: StarBlock({"general": "1.50"}, columns)})
    write_star(path, star)
    assert read_star(path) == star


@steady
@given(rows=st.lists(st.lists(simple, min_size=3, max_size=3), max_size=5))
def test_gemmi_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "gemmi.star"
    columns = {f"c{i}": [f"1{row[i]}" for row in rows] for i in range(3)}
    write_star(path, StarFile({"particles": StarBlock({}, columns)}))
    block = cif.read_file(str(path)).sole_block()
    assert {name: list(block.find_values(f"_{name}")) for name in columns} == columns


def test_relion_takes_a_table_with_optics_for_31(tmp_path: Path) -> None:
    star = StarFile(
        {
            "optics": StarBlock(columns={"rlnOpticsGroup": ["1"]}),
            "particles": StarBlock(columns={"rlnImageName": ["1@a.mrcs"]}),
        }
    )
    write_star(tmp_path / "out.star", star)
    assert (tmp_path / "out.star").read_text().count("# version 30001\n") == 2
    write_star(tmp_path / "out.star", StarFile({"": star.blocks["particles"]}))
    assert "version" not in (tmp_path / "out.star").read_text()


def test_a_written_row_is_never_taken_for_a_name(tmp_path: Path) -> None:
    """RELION takes a first row that begins with `_` for the name of a column, unless quoted."""
    columns = {"x": ["_m.mrc", "_n.mrc"], "y": ["1", "2"]}
    write_star(tmp_path / "out.star", StarFile({"a": StarBlock(columns=columns)}))
    assert '\n"_m.mrc" 1\n_n.mrc 2\n' in (tmp_path / "out.star").read_text()
    again = read_star(tmp_path / "out.star").blocks["a"].table
    assert {name: [*map(unquoted, tokens)] for name, tokens in again.items()} == columns


def test_columns_of_different_lengths_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different lengths"):
        write_star(tmp_path / "x.star", StarFile({"a": StarBlock({}, {"x": ["1"], "y": []})}))
    assert not (tmp_path / "x.star").exists()
