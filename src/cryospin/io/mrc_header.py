"""The 1024 bytes before the voxels of an MRC file (MRC2014, Cheng et al. 2015).

Permissive where RELION is (machine stamp, MAP id, ISPG and extra header are not judged),
strict where a wrong answer would follow: file size and data mode.
Stacks are not opened by `mrcfile`, which refuses some that RELION reads; only its table of
the header's fields is used.

Mode 0 is bytes, signed by MRC2014 and unsigned by many who wrote it before. Who knows says so:
1. IMOD's stamp in the header; its first flag then tells signed from unsigned.
2. Without it, a header whose smallest value is not negative and whose largest is from 128 to
   255, with the mean between: no signed byte is so large.
3. Else they are signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from cryospin.errors import BadDataError

_LABEL = b"written by cryospin"

HEADER_BYTES = 1024
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_WORDS = {
    0: "bytes",
    1: "16-bit integers",
    2: "32-bit floats",
    6: "unsigned 16-bit integers",
    12: "16-bit floats",
}
# IMOD's stamp and flags, two integers
_IMOD_PLACE, _IMOD_STAMP, _IMOD_SIGNED = 152, 1146047817, 1


@dataclass(frozen=True)
class MrcHeader:
    """What is needed to find the voxels: `shape` is (sections, rows, columns).

    number_format: the voxels' type in words, and for bytes by what it was told.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype
    offset: int
    voxel_size_angstrom: tuple[float, float, float]
    axes: tuple[int, int, int]
    number_format: str

    @property
    def expected_bytes(self) -> int:
        sections, rows, columns = self.shape
        return self.offset + sections * rows * columns * self.dtype.itemsize

    def memmap(self) -> np.memmap:
        """The voxels, read when touched; call `check_complete` before."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


def read_header(path: Path | str) -> MrcHeader:
    """The header of a map or stack, of either byte order.

    Raises
    ------
    BadDataError: missing file, no MRC file, a data mode other than 0, 1, 2, 6, 12.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(HEADER_BYTES)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise BadDataError(problem, file=path, fix="check the path and permissions") from None
    if len(raw) < HEADER_BYTES:
        problem = f"{len(raw)} bytes are too few for an MRC header"
        raise BadDataError(problem, file=path, fix="copy or export the file again")
    header = np.frombuffer(raw, HEADER_DTYPE)[0]
    order = "<"
    # the machine stamp is often wrong: a sensible mode and column count tell the byte order
    if not (0 <= header["mode"] < 256 and 0 < header["nx"] < 2**24):
        order = ">"
        header = np.frombuffer(raw, HEADER_DTYPE.newbyteorder(">"))[0]
    mode = int(header["mode"])
    columns, rows, sections = (int(header[name]) for name in ("nx", "ny", "nz"))
    extra = int(header["nsymbt"])
    if min(columns, rows, sections) < 1 or not 0 <= mode < 256 or extra < 0:
        problem = f"not an MRC file (size {columns} x {rows} x {sections}, mode {mode})"
        raise BadDataError(problem, file=path, fix="give an MRC map or stack")
    if mode not in _MODES:
        problem = f"MRC data mode {mode} is not supported"
        raise BadDataError(problem, file=path, fix="convert it to mode 2 (32-bit float)")
    kind, number_format = _MODES[mode], _WORDS[mode]
    if mode == 0:
        kind, number_format = _bytes_of(header, raw, order)
    intervals = [int(header[name]) for name in ("mx", "my", "mz")]
    lengths = [float(header["cella"][name]) for name in "xyz"]
    voxel = [a / m if m > 0 else 0.0 for a, m in zip(lengths, intervals, strict=True)]
    axes = [int(header[name]) for name in ("mapc", "mapr", "maps")]
    return MrcHeader(
        path,
        (sections, rows, columns),
        np.dtype(order + kind),
        HEADER_BYTES + extra,
        (voxel[0], voxel[1], voxel[2]),
        # writers that leave the axes out mean the usual order
        (axes[0], axes[1], axes[2]) if sorted(axes) == [1, 2, 3] else (1, 2, 3),
        number_format,
    )


def _bytes_of(header: np.void, raw: bytes, order: str) -> tuple[str, str]:
    """The type of mode 0, and in words with the reason; the rule is this module's docstring."""
    stamp, flags = np.frombuffer(raw, order + "i4", count=2, offset=_IMOD_PLACE).tolist()
    if stamp == _IMOD_STAMP:
        kind, word = ("i1", "signed") if flags & _IMOD_SIGNED else ("u1", "unsigned")
        return kind, f"{word} bytes (IMOD's flag)"
    low, mean, high = (float(header[name]) for name in ("dmin", "dmean", "dmax"))
    if 0 <= low <= mean <= high and 128 <= high <= 255:
        return "u1", f"unsigned bytes (the header's largest value is {high:g})"
    return "i1", "signed bytes (MRC2014)"


def check_complete(header: MrcHeader) -> None:
    """Refuse a file that is shorter than its header says; reading it would kill the process."""
    size = header.path.stat().st_size
    if size < header.expected_bytes:
        missing = header.expected_bytes - size
        problem = f"truncated: {size} bytes, {missing} fewer than its header asks for"
        raise BadDataError(problem, file=header.path, fix="copy the stack again")


@dataclass
class Statistics:
    """Running minimum, maximum, mean and deviation for a header; float64 sums."""

    count: int = 0
    minimum: float = np.inf
    maximum: float = -np.inf
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: np.ndarray) -> None:
        if not values.size:
            return
        self.count += values.size
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))
        with np.errstate(invalid="ignore"):  # of infinities: then there is no mean
            self.total += float(values.sum(dtype=np.float64))
            self.squares += float(np.square(values, dtype=np.float64).sum())


def is_by_cryospin(path: Path) -> bool:
    """Whether the header says so. Raises OSError."""
    with open(path, "rb") as file:
        raw = file.read(HEADER_DTYPE.itemsize)
    return len(raw) == HEADER_DTYPE.itemsize and (
        np.frombuffer(raw, HEADER_DTYPE)["label"][0, 0].rstrip(b"\0 ") == _LABEL
    )


def header_bytes(
    shape: tuple[int, int, int], pixel_size_angstrom: float, is_map: bool, found: Statistics
) -> bytes:
    """Mode 2, origin and start 0: RELION and ChimeraX then place the map alike."""
    header = np.zeros((), dtype=HEADER_DTYPE.newbyteorder("<"))
    header["nz"], header["ny"], header["nx"] = shape
    header["mode"] = 2
    # the unit cell of a stack is one image (MRC2014)
    depth = shape[0] if is_map else 1
    header["mx"], header["my"], header["mz"] = shape[2], shape[1], depth
    cell = (shape[2], shape[1], depth)
    header["cella"] = tuple(np.float32(size * pixel_size_angstrom) for size in cell)
    header["cellb"] = (90.0, 90.0, 90.0)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["ispg"] = 1 if is_map else 0
    header["nversion"] = 20140
    header["map"] = b"MAP "
    header["machst"] = (0x44, 0x44, 0, 0)
    if found.count:
        mean = found.total / found.count
        header["dmin"], header["dmax"], header["dmean"] = found.minimum, found.maximum, mean
        header["rms"] = max(found.squares / found.count - mean**2, 0.0) ** 0.5
    header["nlabl"] = 1
    header["label"][0] = _LABEL
    return header.tobytes()
