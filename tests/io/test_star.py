from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.errors import BadDataError, CryospinError
from cryospin.io.star import StarBlock, StarFile, quoted, read_star
from cryospin.io.star_writer import write_star
from cryospin.io.tokens import unquoted

steady = settings(derandomize=True, deadline=None, max_examples=40)

RELION_31 = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2 [the number]
opticsGroup1\t1

# version 30001

data_particles

loop_
_rlnImageName #1
_rlnVoltage #2
 000001@a/b.mrcs   3.00e+02
 000002@a/b.mrcs 300.000000   # the last

"""


def read_text(folder: Path, text: str) -> StarFile:
    path = folder / "in.star"
    path.write_bytes(text.encode())
    return read_star(path)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_relion_31(tmp_path: Path, line_end: str) -> None:
    # RELION leaves a blank at the end of most lines
    star = read_text(tmp_path, RELION_31.replace("\n", " " + line_end))
    assert star.blocks["optics"].columns == {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": ["1"],
    }
    assert star.blocks["particles"].columns == {
        "rlnImageName": ["000001@a/b.mrcs", "000002@a/b.mrcs"],
        "rlnVoltage": ["3.00e+02", "300.000000"],
    }


def test_relion_30_has_a_nameless_block(tmp_path: Path) -> None:
    star = read_text(tmp_path, "data_\n\nloop_\n_rlnImageName #1\n1@a.mrcs\n")
    assert star.blocks[""].columns == {"rlnImageName": ["1@a.mrcs"]}


def test_pairs_and_tables_beside_each_other(tmp_path: Path) -> None:
    star = read_text(tmp_path, "data_general\n_a  1\n_b 'x y' # note\nloop_\n_c\n5\n6\n_d 7\n")
    block = star.blocks["general"]
    assert block.pairs == {"a": "1", "b": "'x y'", "d": "7"}
    assert block.columns == {"c": ["5", "6"]}
    assert len(block) == 2


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    star = read_text(tmp_path, "data_particles\nloop_\n_a #1\n_b #2\n\ndata_next\n_c 1\n")
    assert star.blocks["particles"].columns == {"a": [], "b": []}


def test_tokens_that_cif_forbids(tmp_path: Path) -> None:
    row = ["data_1/movie.mrc", "$x", "[1,2]", "é.mrc", "it's", '"a b"', "''"]
    names = "".join(f"_c{i}\n" for i in range(len(row)))
    star = read_text(tmp_path, f"data_particles\nloop_\n{names}1 {' '.join(row[1:])}\n")
    assert [column[0] for column in star.blocks["particles"].columns.values()] == ["1", *row[1:]]
    star = read_text(tmp_path, f"data_particles\nloop_\n{names}{' '.join(row)}\n")
    assert [column[0] for column in star.blocks["particles"].columns.values()] == row


@pytest.mark.parametrize(
    ("text", "line", "row", "problem"),
    [
        ("data_a\nloop_\n_x\n_y\n1 2\n3\n4 5 6\n", 6, 2, "1 values for 2 columns"),
        ("data_a\nloop_\n_x\n_y\n1 2\n3 4 5\n", 6, 2, "3 values for 2 columns"),
        ("data_a\nloop_\n_x\n_x\n", 4, None, "_x is given twice"),
        ("data_a\n_x 1\n_x 2\n", 3, None, "_x is given twice"),
        ("data_a\n_x\n", 2, None, "0 values where one"),
        ("data_a\n_x 1\ndata_a\n_x 1\n", 3, None, "second block named data_a"),
        ("data_a\nloop_\n_x\n1\nloop_\n_y\n2\n", 5, None, "second loop_"),
        ("some,csv\n1,2\n", 1, None, "belongs to no table"),
        ("loop_\n_x\n1\n", 1, None, "before any data_"),
        ("_x 1\n", 1, None, "before any data_"),
        ("data_a\nloop_\n_x\n;\ntext\n;\n", 4, None, "several lines"),
    ],
)
def test_broken_grammar_names_the_place(
    tmp_path: Path, text: str, line: int, row: int | None, problem: str
) -> None:
    with pytest.raises(BadDataError) as refusal:
        read_text(tmp_path, text)
    assert refusal.value.row == row
    assert f"line {line}: " in refusal.value.problem
    assert problem in refusal.value.problem
    assert refusal.value.file == tmp_path / "in.star"
    assert refusal.value.fix


def test_files_that_are_no_text(tmp_path: Path) -> None:
    for content in (b"", b"# only a comment\n"):
        (tmp_path / "in.star").write_bytes(content)
        with pytest.raises(BadDataError, match="no data_ block"):
            read_star(tmp_path / "in.star")
    (tmp_path / "in.star").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadDataError, match="not UTF-8 text"):
        read_star(tmp_path / "in.star")
    with pytest.raises(BadDataError, match="no such file"):
        read_star(tmp_path / "absent.star")
    with pytest.raises(BadDataError, match="cannot be read"):
        read_star(tmp_path)


@steady
@given(text=st.text() | st.lists(st.sampled_from(RELION_31.split("\n"))).map("\n".join))
def test_malformed_text_raises_our_errors_only(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "malformed.star"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read_star(path)
    except CryospinError as error:
        assert error.exit_code == 3


def test_a_zero_byte_is_no_text(tmp_path: Path) -> None:
    """It would end up in the path of a stack, which the system refuses with a ValueError."""
    with pytest.raises(BadDataError, match="line 3 holds a zero byte"):
        read_text(tmp_path, "data_\n\n_a\0b 1\n")


@steady
@given(text=st.text(st.characters(codec="ascii", exclude_categories=("Cc",))))
def test_quoting_is_undone(text: str) -> None:
    assert unquoted(quoted(text)) == text or text[:1] in "'\"#"


def rows_of(folder: Path, text: str) -> list[tuple[str, ...]]:
    return [*zip(*read_text(folder, text).blocks["a"].table.values(), strict=True)]


@pytest.mark.parametrize(
    "first", ["_x.mrc", "data_x/m.mrc", "loop_", "'loop_'", '"#1"', '"_ x"', "a#b", "save_", "?"]
)
def test_a_row_may_begin_with_anything(tmp_path: Path, first: str) -> None:
    """Also the first row; what tells is that it has as many values as there are columns."""
    head = "data_a\nloop_\n_x #1\n_y #2\n_z #3\n"
    rows = [(first, "1", "2"), ("m", "3", "4"), (first, "5", "6")]
    lines = "".join(" ".join(row) + "\n" for row in rows)
    assert rows_of(tmp_path, head + lines) == rows


def test_rows_of_one_and_two_values(tmp_path: Path) -> None:
    """Where a row could be a name or a pair: after the first row it is a row."""
    assert rows_of(tmp_path, "data_a\nloop_\n_x\n1\n_y\n2\n") == [("1",), ("_y",), ("2",)]
    text = "data_a\nloop_\n_x\n_y\n_p 1\n_q 2\n"
    assert rows_of(tmp_path, text) == [("_p", "1"), ("_q", "2")]
    assert list(read_text(tmp_path, "data_a\nloop_\n_x\ndata_b\n_y 1\n").blocks) == ["a", "b"]


@pytest.mark.parametrize("number", [" #{}", "", " {}", " # {} of them", "#{}"])
def test_columns_numbered_in_any_way(tmp_path: Path, number: str) -> None:
    if number == "#{}":
        number = "\t#{}"
    names = "".join(f"_x{i}{number.format(i)}\n" for i in range(1, 5))
    assert rows_of(tmp_path, f"data_a\nloop_\n{names}1 2 3 4\n") == [("1", "2", "3", "4")]


@pytest.mark.parametrize(
    ("rows", "row", "count"), [("1 2 3\n_m 1 2 4\n", 2, 4), ("_m 1 2 4\n", 1, 4)]
)
def test_a_ragged_row_that_looks_like_a_name(
    tmp_path: Path, rows: str, row: int, count: int
) -> None:
    with pytest.raises(BadDataError, match=f"{count} values for 3 columns") as refusal:
        read_text(tmp_path, "data_a\nloop_\n_x\n_y\n_z\n" + rows)
    assert refusal.value.row == row


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("data_", "DATA_").replace("loop_", "Loop_"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("\n", " # note\n"),
        lambda text: text.replace("\n", "\n# data_b\n"),
        lambda text: text.replace(" ", "\t \t"),
        lambda text: "\ufeff" + text,
        lambda text: text.strip("\n"),
        lambda text: text + "\n\n   \n\t\n# the end",
        lambda text: "\n \n" + text,
    ],
)
def test_blanks_comments_and_line_ends(tmp_path: Path, change: Callable[[str], str]) -> None:
    text = "data_a\nloop_\n_x #1\n_y #2\n'ab' 1\nc 2\n"
    assert rows_of(tmp_path, change(text)) == [("'ab'", "1"), ("c", "2")]


def test_blanks_of_other_alphabets_are_part_of_a_name(tmp_path: Path) -> None:
    """As in RELION: a no-break space does not part two values."""
    text = "data_a\nloop_\n_x\n_y\nm\u00a01.mrc 1\nm\u30002.mrc 2\n"
    assert rows_of(tmp_path, text) == [("m\u00a01.mrc", "1"), ("m\u30002.mrc", "2")]


def test_pairs_are_a_table_of_one_row(tmp_path: Path) -> None:
    star = read_text(tmp_path, "data_a\n_x\t\t\t1\n_y  'p q'\n")
    block = star.blocks["a"]
    assert block.table == {"x": ["1"], "y": ["'p q'"]} and len(block) == 1
    write_star(tmp_path / "out.star", star)
    assert read_star(tmp_path / "out.star") == star
    assert block.with_table({"z": ["1", "2"]}) == StarBlock({}, {"z": ["1", "2"]})
    beside = read_text(tmp_path, "data_a\n_x 1\nloop_\n_y\n2\n3\n").blocks["a"]
    assert beside.table == {"y": ["2", "3"]}
    assert beside.with_table({"z": ["1"]}) == StarBlock({"x": "1"}, {"z": ["1"]})
