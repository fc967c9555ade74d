"""STAR files as RELION writes them: blocks of name-value pairs or of one table each.

Tokens stay text, so that what is not understood is written back as it was. What the
columns mean is in io.relion.

One table row is one line here, as it is for RELION, whereas in the CIF grammar line ends
are mere blanks. gemmi.cif reads the latter and was tried: it stops at names that RELION
accepts (non-ASCII letters, `data_1/movie.mrc`, `$x`, `_x`), cannot say which row is
ragged, and does not see two ragged rows that make up for each other. The tests compare
with it where both read.

A line of as many values as the table has columns is a row, whatever its first value begins
with. Blank lines and comments may stand anywhere.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cryospin.errors import BadDataError
from cryospin.io.tokens import Tokens

# a quoted token ends at the first quote followed by a blank; only ASCII's blanks are blanks
_TOKEN = re.compile(rb"""'(?:[^']|'(?=\S))*'(?!\S)|"(?:[^"]|"(?=\S))*"(?!\S)|\#.*|\S+""")
_SPECIAL = (b"'", b'"', b"#")
# of lines that are read in one piece; the first are smaller
_FIRST_PIECE_BYTES, _PIECE_BYTES = 1 << 12, 1 << 20

Columns = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class StarBlock:
    """Name-value pairs, or columns of equal length; names are without their underscore."""

    pairs: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Sequence[str]] = field(default_factory=dict)

    @property
    def table(self) -> dict[str, Sequence[str]]:
        """The columns; pairs without a loop are a table of one row, which some write so."""
        return self.columns or {name: [value] for name, value in self.pairs.items()}

    def column(self, name: str) -> Tokens:
        """A column of `table`."""
        return Tokens.of(self.table[name])

    def with_table(self, columns: Columns) -> StarBlock:
        """The block with these columns in place of its table."""
        return StarBlock(self.pairs if self.columns else {}, dict(columns))

    def __len__(self) -> int:
        return len(next(iter(self.table.values()), []))


@dataclass(frozen=True)
class StarFile:
    """Blocks by name, without `data_`; RELION 3.0 leaves the name of its only block empty."""

    blocks: dict[str, StarBlock]


def quoted(text: str) -> str:
    """A token that stands for the text; RELION's names seldom need it."""
    if text and not re.search(r"\s", text) and text[0] not in "'\"#":
        return text
    mark = "'" if '"' in text else '"'
    return mark + text + mark


def tokens_of(line: bytes) -> list[bytes]:
    """The blank-separated tokens of a line, up to a comment."""
    if not _is_special(line):
        return line.split()
    return [token for token in _TOKEN.findall(line) if not token.startswith(b"#")]


def _is_special(text: bytes) -> bool:
    """Whether some tokens of it may be more, or less, than what stands between two blanks."""
    return any(mark in text for mark in _SPECIAL)


class _Reader:
    """The state of a pass over the lines; `block` is what the next line belongs to."""

    def __init__(self, path: Path):
        self.path = path
        self.blocks: dict[str, StarBlock] = {}
        self.block: StarBlock | None = None
        self.names: list[str] | None = None
        self.lines = 0
        # rows of the table so far: columns of each finished piece, then token after token in one
        # flat list (a list per row costs the garbage collector more than reading the file)
        self.pieces: list[list[np.ndarray]] = []
        self.rows = 0
        self.values: list[bytes] = []

    def refuse(self, line: int, problem: str, fix: str, row: int | None = None) -> BadDataError:
        return BadDataError(f"line {line}: {problem}", file=self.path, row=row, fix=fix)

    def begin_block(self, name: str, line: int) -> None:
        self.end_table()
        if name in self.blocks:
            fix = "rename or remove one of the two"
            raise self.refuse(line, f"a second block named data_{name}", fix)
        self.block = self.blocks[name] = StarBlock()

    def begin_table(self, line: int) -> None:
        self.end_table()
        if self.block is None:
            raise self.refuse(line, "loop_ before any data_ line", "put a data_ line before it")
        if self.block.columns:
            raise self.refuse(line, "a second loop_ in one block", "give it its own data_ line")
        self.names = []

    def end_table(self) -> None:
        if self.names is not None and self.block is not None:
            self.end_piece()
            # column by column, each given free when it is joined
            columns = [[*pieces] for pieces in zip(*self.pieces, strict=True)]
            self.pieces = []
            for name in self.names:
                pieces = columns.pop(0) if columns else [np.empty(0, dtype="S1")]
                self.block.columns[name] = Tokens(np.concatenate(pieces))
        self.names, self.rows = None, 0

    def end_piece(self) -> None:
        """Make columns of the values."""
        if self.values and self.names:
            self.add_piece(self.values, len(self.names))
            self.values = []

    def add_piece(self, values: list[bytes], stride: int) -> None:
        """Rows of tokens, one after the other; of each, what exceeds the table goes."""
        assert self.names is not None
        columns = [np.array(values[i::stride]) for i in range(len(self.names))]
        self.pieces.append(columns)
        self.rows += len(columns[0])

    def is_name(self, tokens: list[bytes]) -> bool:
        """Whether a line that begins with `_` names a column or a pair, and is no row."""
        width, count = len(self.names or ()), len(tokens)
        if not width:
            return True
        if self.rows or self.values:
            return count <= 2 and count != width
        # the number of a column may lack its `#`
        numbered = count == 2 and tokens[1].isdigit() and (width != 2 or tokens[1] == b"3")
        return count == 1 or numbered

    def read_name(self, tokens: list[bytes], line: int) -> None:
        name = tokens[0][1:].decode()
        if self.block is None:
            raise self.refuse(line, f"_{name} before any data_ line", "add a data_ line")
        if self.names is not None and (self.rows or self.values):
            self.end_table()
        if name in self.block.pairs or name in (self.names or ()):
            raise self.refuse(line, f"_{name} is given twice", "remove one of the two")
        if self.names is not None:
            self.names.append(name)
        elif len(tokens) == 2:
            self.block.pairs[name] = tokens[1].decode()
        else:
            problem = f"_{name} has {len(tokens) - 1} values where one is expected"
            raise self.refuse(line, problem, "write one value, quoted if it holds blanks")

    def read_row(self, tokens: list[bytes], line: int) -> None:
        if not self.names:
            problem = f"{tokens[0].decode()[:40]!r} belongs to no table"
            raise self.refuse(line, problem, "is this a STAR file? it begins with a data_ line")
        if len(tokens) != len(self.names):
            problem = f"{len(tokens)} values for {len(self.names)} columns"
            row = self.rows + len(self.values) // len(self.names) + 1
            raise self.refuse(line, problem, "is the file cut off, or a name with blanks?", row)
        self.values += tokens

    def read(self, text: bytes) -> None:
        """Whole lines."""
        if not self.read_plain_rows(text):
            for line in text.removesuffix(b"\n").split(b"\n"):
                self.lines += 1
                self.read_line(line, self.lines)
        self.end_piece()

    def read_plain_rows(self, text: bytes) -> bool:
        """Lines that can only be rows of the table, all at once; False, and nothing is read, where
        one of them may be something else."""
        width, rows = len(self.names or ()), text.rstrip()
        if width < 2 or not self.rows or not rows or _is_special(rows):
            return False
        if rows.startswith(b";") or b"\n;" in rows:
            return False
        # no text holds zero bytes (`_pieces`): one of them stands for each end of a line
        values, count = (rows + b"\n").replace(b"\n", b" \0 ").split(), rows.count(b"\n") + 1
        ends = values[width :: width + 1]
        if len(values) != count * (width + 1) or ends.count(b"\0") != count:
            return False
        self.add_piece(values, width + 1)
        self.lines += text.count(b"\n")
        return True

    def read_line(self, line: bytes, number: int) -> None:
        if line.startswith(b";"):
            raise self.refuse(number, "a text of several lines", "RELION's tables have none")
        tokens = tokens_of(line)
        if not tokens:
            return
        first = tokens[0]
        # keywords stand alone, in any case: in a wider table `data_1/movie.mrc` is a value
        keyword = first[:5].lower() if len(tokens) == 1 else b""
        if keyword == b"data_":
            self.begin_block(first[5:].decode(), number)
        elif keyword == first.lower() == b"loop_":
            self.begin_table(number)
        elif first.startswith(b"_") and self.is_name(tokens):
            self.read_name(tokens, number)
        else:
            self.read_row(tokens, number)


def read_star(path: Path | str) -> StarFile:
    """The blocks of a STAR file, tokens as they are written.

    Raises
    ------
    BadDataError: missing or unreadable file, and whatever breaks the grammar, with its line.
    """
    path = Path(path)
    reader = _Reader(path)
    for text in _pieces(path):
        reader.read(text)
    reader.end_table()
    if not reader.blocks:
        raise BadDataError("no data_ block", file=path, fix="give a RELION STAR file")
    return StarFile(reader.blocks)


def _pieces(path: Path) -> Iterator[bytes]:
    """The file's lines, some at a time: UTF-8 without zero bytes, lines ending as ours do."""
    offset = lines = 0
    # the first piece, with the names of columns, is read line by line (`read_plain_rows`)
    size = min(_FIRST_PIECE_BYTES, _PIECE_BYTES)
    try:
        with open(path, "rb") as file:
            while text := file.read(size) + file.readline():
                _refuse_what_is_no_text(text, path, offset, lines)
                offset, size = offset + len(text), min(2 * size, _PIECE_BYTES)
                text = text.removeprefix(codecs.BOM_UTF8 if not lines else b"")
                # of Windows, and of the Macintosh of old
                text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                lines += text.count(b"\n")
                yield text
    except FileNotFoundError:
        raise BadDataError("no such file", file=path, fix="check the path") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise BadDataError(problem, file=path, fix="check the path and permissions") from None


def _refuse_what_is_no_text(text: bytes, path: Path, offset: int, lines: int) -> None:
    """`offset` bytes and `lines` lines are before it in the file."""
    try:
        text.decode("ascii" if text.isascii() else "utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte {offset + error.start} is not UTF-8 text"
        fix = "give a STAR file, not a stack; if it is one, save it as UTF-8"
        raise BadDataError(problem, file=path, fix=fix) from None
    if b"\0" in text:
        row = lines + len((text[: text.index(b"\0")] + b"?").splitlines())
        problem = f"line {row} holds a zero byte, which no text does"
        raise BadDataError(problem, file=path, fix="copy or write the file again")
