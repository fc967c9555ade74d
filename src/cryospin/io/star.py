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

import re
from dataclasses import dataclass, field
from pathlib import Path

from cryospin.errors import BadDataError
from cryospin.io.atomic import atomic_path

# a quoted token ends at the first quote followed by a blank; only ASCII's blanks are blanks
_TOKEN = re.compile(r"""'(?:[^']|'(?=\S))*'(?!\S)|"(?:[^"]|"(?=\S))*"(?!\S)|\#.*|\S+""", re.ASCII)


@dataclass(frozen=True)
class StarBlock:
    """Name-value pairs, or columns of equal length; names are without their underscore."""

    pairs: dict[str, str] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)

    @property
    def table(self) -> dict[str, list[str]]:
        """The columns; pairs without a loop are a table of one row, which some write so."""
        return self.columns or {name: [value] for name, value in self.pairs.items()}

    def with_table(self, columns: dict[str, list[str]]) -> StarBlock:
        """The block with these columns in place of its table."""
        return StarBlock(self.pairs if self.columns else {}, columns)

    def __len__(self) -> int:
        return len(next(iter(self.table.values()), []))


@dataclass(frozen=True)
class StarFile:
    """Blocks by name, without `data_`; RELION 3.0 leaves the name of its only block empty."""

    blocks: dict[str, StarBlock]


def unquoted(token: str) -> str:
    """The text a token stands for."""
    if len(token) >= 2 and token[0] == token[-1] and token[0] in "'\"":
        return token[1:-1]
    return token


def quoted(text: str) -> str:
    """A token that stands for the text; RELION's names seldom need it."""
    if text and not re.search(r"\s", text) and text[0] not in "'\"#":
        return text
    mark = "'" if '"' in text else '"'
    return mark + text + mark


def tokens_of(line: str) -> list[str]:
    """The blank-separated tokens of a line, up to a comment."""
    if line.isascii() and "'" not in line and '"' not in line and "#" not in line:
        return line.split()
    return [token for token in _TOKEN.findall(line) if not token.startswith("#")]


class _Reader:
    """The state of a pass over the lines; `block` is what the next line belongs to."""

    def __init__(self, path: Path):
        self.path = path
        self.blocks: dict[str, StarBlock] = {}
        self.block: StarBlock | None = None
        self.names: list[str] | None = None
        # row after row in one flat list: a list per row costs the garbage collector more
        # than reading the file
        self.values: list[str] = []

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
            width = len(self.names)
            columns = {name: self.values[i::width] for i, name in enumerate(self.names)}
            self.block.columns.update(columns)
        self.names, self.values = None, []

    def is_name(self, tokens: list[str]) -> bool:
        """Whether a line that begins with `_` names a column or a pair, and is no row."""
        width, count = len(self.names or ()), len(tokens)
        if not width:
            return True
        if self.values:
            return count <= 2 and count != width
        # the number of a column may lack its `#`
        numbered = count == 2 and tokens[1].isdecimal() and (width != 2 or tokens[1] == "3")
        return count == 1 or numbered

    def read_name(self, tokens: list[str], line: int) -> None:
        if self.block is None:
            raise self.refuse(line, f"{tokens[0]} before any data_ line", "add a data_ line")
        if self.names is not None and self.values:
            self.end_table()
        name = tokens[0][1:]
        if name in self.block.pairs or name in (self.names or ()):
            raise self.refuse(line, f"_{name} is given twice", "remove one of the two")
        if self.names is not None:
            self.names.append(name)
        elif len(tokens) == 2:
            self.block.pairs[name] = tokens[1]
        else:
            problem = f"_{name} has {len(tokens) - 1} values where one is expected"
            raise self.refuse(line, problem, "write one value, quoted if it holds blanks")

    def read_row(self, tokens: list[str], line: int) -> None:
        if not self.names:
            problem = f"{tokens[0][:40]!r} belongs to no table"
            raise self.refuse(line, problem, "is this a STAR file? it begins with a data_ line")
        if len(tokens) != len(self.names):
            problem = f"{len(tokens)} values for {len(self.names)} columns"
            row = len(self.values) // len(self.names) + 1
            raise self.refuse(line, problem, "is the file cut off, or a name with blanks?", row)
        self.values += tokens


def read_star(path: Path | str) -> StarFile:
    """The blocks of a STAR file, tokens as they are written.

    Raises
    ------
    BadDataError: missing or unreadable file, and whatever breaks the grammar, with its line.
    """
    path = Path(path)
    reader = _Reader(path)
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.startswith(";"):
            raise reader.refuse(number, "a text of several lines", "RELION's tables have none")
        tokens = tokens_of(line)
        if not tokens:
            continue
        first = tokens[0]
        # keywords stand alone, in any case: in a wider table `data_1/movie.mrc` is a value
        keyword = first[:5].lower() if len(tokens) == 1 else ""
        if keyword == "data_":
            reader.begin_block(first[5:], number)
        elif keyword == first.lower() == "loop_":
            reader.begin_table(number)
        elif first.startswith("_") and reader.is_name(tokens):
            reader.read_name(tokens, number)
        else:
            reader.read_row(tokens, number)
    reader.end_table()
    if not reader.blocks:
        raise BadDataError("no data_ block", file=path, fix="give a RELION STAR file")
    return StarFile(reader.blocks)


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise BadDataError("no such file", file=path, fix="check the path") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise BadDataError(problem, file=path, fix="check the path and permissions") from None
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8 text"
        fix = "give a STAR file, not a stack; if it is one, save it as UTF-8"
        raise BadDataError(problem, file=path, fix=fix) from None
    # of Windows, and of the Macintosh of old
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        problem = f"line {row} holds a zero byte, which no text does"
        raise BadDataError(problem, file=path, fix="copy or write the file again")
    return text


def write_star(path: Path | str, star: StarFile) -> None:
    """Write whole or not at all. RELION 3.1+ is recognised by its optics block."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as output:
        for name, block in star.blocks.items():
            # without this line relion 3.1 takes the file for 3.0 and converts origins
            output.write("\n# version 30001\n" if "optics" in star.blocks else "")
            output.write(f"\ndata_{name}\n\n")
            output.writelines(f"_{key} {value}\n" for key, value in block.pairs.items())
            if block.columns:
                output.write("loop_\n")
                names = enumerate(block.columns, start=1)
                output.writelines(f"_{key} #{number}\n" for number, key in names)
                rows = zip(*_unmistakable(block.columns), strict=True)
                output.writelines(" ".join(row) + "\n" for row in rows)
            output.write("\n")


def _unmistakable(columns: dict[str, list[str]]) -> list[list[str]]:
    """The tokens of a table by column; RELION takes a first row that begins with `_` for a name."""
    first, *others = columns.values()
    if first and first[0].startswith("_"):
        first = [f'"{first[0]}"', *first[1:]]
    return [first, *others]
