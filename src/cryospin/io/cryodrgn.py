"""cryoDRGN's inputs: images by a stack or a list of stacks, poses and CTFs pickled beside.

The arrays' rows are the images of the listed stacks in order; a row is known by its stack
and place here, so that a table sorted otherwise is not mis-paired. cryoDRGN's CTF has the
opposite sign of ours, which it makes up for by inverting the images: the parameters are the
same, and images are taken to be protein-bright, as it does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cryospin.errors import BadDataError
from cryospin.io.conventions import shifts_from_cryodrgn
from cryospin.io.cryodrgn_pickle import read_arrays
from cryospin.io.image_files import numbered_stacks, plain_name
from cryospin.io.mrc_header import check_complete, read_header
from cryospin.io.rows import doubled, rows_in_words
from cryospin.names import ImageNames
from cryospin.optics import CtfParameters, Optics
from cryospin.types import ParticleStack, Poses, Unread

# columns of ctf.pkl: box, pixel size, defocus U, V, angle, kV, Cs, amplitude contrast, phase
_BOX, _PIXEL, _OPTICS, _CTF = 0, 1, [5, 6, 7], [2, 3, 4, 8, 5, 6, 7]
_COLUMNS = 9


@dataclass(frozen=True)
class CryodrgnTable:
    """ctf: (n, 9), the array as it was pickled, of all images of the listed stacks."""

    path: Path
    ctf: np.ndarray


def file_beside(images: Path, kind: str) -> Path | None:
    """`particles.poses.pkl`, or `poses.pkl`, beside `particles.txt`; likewise for `ctf`, `ind`.

    Where the images are a link, then beside what it leads to.
    """
    places = []
    for file in (images, Path(os.path.realpath(images))):
        names = [f"{file.stem}.{kind}.pkl"]
        if kind != "ind":
            # an index without a name of its own may be of anything
            names += [f"{kind}.pkl", f"{kind.removesuffix('s')}.pkl"]
        places += [file.with_name(name) for name in names]
    return next((place for place in places if os.path.exists(place)), None)


def read_cryodrgn(
    path: Path | str,
    poses: Path | str | None = None,
    ctf: Path | str | None = None,
    ind: Path | str | None = None,
) -> ParticleStack:
    """The images of a .mrcs stack or a .txt list of them, with the arrays beside.

    Parameters
    ----------
    poses, ctf, ind: found by `file_beside` where not given; poses and ind may be absent.

    Raises
    ------
    BadDataError: no CTF, CTFs of another shape or length than the images, a stack that is
        missing or cut off. Poses that cannot be read are no poses, as `unread` tells.
    """
    path = Path(path)
    ctf = ctf or file_beside(path, "ctf")
    if ctf is None:
        fix = (
            "give the .star or .cs of these particles, or put cryoDRGN's CTF parameters beside"
            f" it as {path.stem}.ctf.pkl or ctf.pkl"
        )
        raise BadDataError("no CTF parameters of these images", file=path, fix=fix)
    poses, ind = poses or file_beside(path, "poses"), ind or file_beside(path, "ind")
    table = _ctf_table(Path(ctf))
    images = _listed_images(path, len(table), Path(ctf))
    rows = np.arange(len(table)) if ind is None else _index(Path(ind), len(table))
    names = [*map(plain_name, images.names)]
    uids = ImageNames.of(names, images.listed[rows], images.slice_index[rows] + 1)
    pixel_size = _pixel_size(table, images.box, Path(ctf))
    optics, group = _optics(table[rows], pixel_size)
    values = table[rows][:, _CTF].astype(np.float32).T.copy()
    unread: Unread = {}
    return ParticleStack(
        source=path,
        table=CryodrgnTable(path, table),
        rows=rows,
        uids=uids,
        files=images.files,
        file_index=images.file_index[rows],
        slice_index=images.slice_index[rows],
        box=images.box,
        pixel_size_angstrom=pixel_size,
        optics=optics,
        optics_group=group,
        ctf=CtfParameters(*torch.from_numpy(values)),
        poses=_poses(poses, len(table), rows, images.box * pixel_size, unread),
        unread=unread,
        companions=tuple(Path(file) for file in (ctf, poses, ind) if file is not None),
    )


@dataclass(frozen=True)
class _Images:
    """All images of the listed stacks, in order: n of them in `files`, named in `names`."""

    names: list[str]
    files: tuple[Path, ...]
    listed: np.ndarray
    file_index: np.ndarray
    slice_index: np.ndarray
    box: int


def _listed_images(path: Path, rows: int, ctf: Path) -> _Images:
    """Raises BadDataError unless they are as many as the `rows` of the file `ctf`."""
    names = stack_list(path)
    files, numbers, _ = numbered_stacks(names, path)
    headers = [read_header(file) for file in files]
    for header in headers:
        check_complete(header)
        if header.shape[1:] != (headers[0].shape[1],) * 2:
            problem = f"images of {header.shape[2]} x {header.shape[1]}, not one square box"
            raise BadDataError(problem, file=header.path, fix="extract with one box")
    counts = np.array([header.shape[0] for header in headers])[numbers]
    # before anything of that length is made
    if counts.sum() != rows:
        problem = f"{rows} rows for {counts.sum()} images"
        raise BadDataError(problem, file=ctf, fix="give the CTFs of these stacks, all of them")
    return _Images(
        names=names,
        files=files,
        listed=np.repeat(np.arange(len(names)), counts),
        file_index=np.repeat(numbers, counts),
        slice_index=np.concatenate([np.arange(count) for count in counts]),
        box=headers[0].shape[1],
    )


def stack_list(path: Path) -> list[str]:
    """The names of the stacks of a .txt, or of the stack itself. Raises BadDataError."""
    if path.suffix != ".txt":
        return [path.name]
    try:
        lines = path.read_bytes().decode("utf-8").splitlines()
    except FileNotFoundError:
        raise BadDataError("no such file", file=path, fix="check the path") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise BadDataError(problem, file=path, fix="check the path and permissions") from None
    except UnicodeDecodeError as error:
        fix = "give a list of .mrcs files, one a line"
        raise BadDataError(f"byte {error.start} is not text", file=path, fix=fix) from None
    names = [line.strip() for line in lines if line.strip()]
    strange = next((i for i, name in enumerate(names) if not name.isprintable()), None)
    if not names or strange is not None:
        problem = "names no stacks" if not names else f"{names[strange or 0][:40]!r} is no path"
        raise BadDataError(
            problem,
            file=path,
            row=None if strange is None else strange + 1,
            fix="give a list of .mrcs files, one a line",
        )
    return names


def _one_array(path: Path, what: str) -> np.ndarray:
    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise BadDataError(f"{len(arrays)} arrays, not one", file=path, fix=f"give the {what}")
    return arrays[0]


def _ctf_table(path: Path) -> np.ndarray:
    table = _one_array(path, "CTF parameters")
    if table.ndim != 2 or table.shape[1] != _COLUMNS or not len(table) or table.dtype.kind != "f":
        problem = f"an array of shape {table.shape}, not (n, {_COLUMNS})"
        raise BadDataError(problem, file=path, fix="give a ctf.pkl of cryoDRGN 0.3 or later")
    _refuse_not_finite(path, table)
    return table


def _refuse_not_finite(path: Path, array: np.ndarray) -> None:
    broken = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
    if len(broken):
        fix = "write the file again with cryoDRGN"
        raise BadDataError("not a number", file=path, row=int(broken[0]) + 1, fix=fix)


def _index(path: Path, rows: int) -> np.ndarray:
    index = _one_array(path, "indices of the images")
    sound = index.ndim == 1 and index.dtype.kind in "iu" and len(index)
    if not sound or index.min() < 0 or index.max() >= rows:
        problem = f"no indices of {rows} images"
        raise BadDataError(problem, file=path, fix="give the ind.pkl of these particles")
    index = index.astype(np.int64)
    double = np.flatnonzero(doubled(index))
    if len(double):
        same = np.flatnonzero(index == index[double[0]])
        problem = f"index {index[same[0]]} stands in {rows_in_words(same)}"
        problem += f" ({len(np.unique(index[double]))} such indices)"
        fix = "keep each index once"
        raise BadDataError(problem, file=path, row=int(same[1]) + 1, fix=fix)
    return index


def _pixel_size(table: np.ndarray, box: int, path: Path) -> float:
    """Of the images, which may have been cropped in Fourier space since the CTF was written."""
    width = table[:, _BOX].astype(np.float64) * table[:, _PIXEL]
    if not (width.min() > 0 and width.max() - width.min() <= 1e-4 * width.max()):
        problem = f"boxes of {width.min():g} to {width.max():g} Angstrom"
        raise BadDataError(problem, file=path, fix="give particles of one box and pixel size")
    return float(f"{width[0] / box:.7g}")


def _optics(table: np.ndarray, pixel_size: float) -> tuple[tuple[Optics, ...], np.ndarray]:
    distinct, members = np.unique(table[:, _OPTICS], axis=0, return_inverse=True)
    meant = [[float(f"{x:.7g}") for x in values] for values in distinct]
    optics = tuple(
        Optics(f"opticsGroup{count}", pixel_size, kv, cs, contrast)
        for count, (kv, cs, contrast) in enumerate(meant, start=1)
    )
    return optics, members.reshape(-1)


def _poses(
    path: Path | str | None, count: int, rows: np.ndarray, box_angstrom: float, unread: Unread
) -> Poses | None:
    """None where there are none, or none that can be read, which `unread` is told."""
    try:
        return None if path is None else _sound_poses(Path(path), count, rows, box_angstrom)
    except BadDataError as error:
        unread["poses"] = error
        return None


def _sound_poses(path: Path, count: int, rows: np.ndarray, box_angstrom: float) -> Poses:
    arrays = read_arrays(path)
    fix = "give the poses.pkl of these particles (rotations, or rotations and translations)"
    shapes = [array.shape for array in arrays]
    if shapes not in ([(count, 3, 3)], [(count, 3, 3), (count, 2)]):
        problem = f"arrays of shape {', '.join(map(str, shapes[:4]))} for {count} images"
        raise BadDataError(problem, file=path, fix=fix)
    for array in arrays:
        _refuse_not_finite(path, array)
    rotations = torch.from_numpy(arrays[0][rows].astype(np.float64))
    translations = torch.zeros(len(rows), 2, dtype=torch.float64)
    if len(arrays) > 1:
        translations = torch.from_numpy(arrays[1][rows].astype(np.float64))
    off = (rotations @ rotations.mT - torch.eye(3)).abs().amax((1, 2))
    bad = torch.nonzero((off > 1e-3) | (torch.linalg.det(rotations) < 0)).flatten()
    if len(bad):
        row = int(rows[int(bad[0])]) + 1
        raise BadDataError("a matrix that is no rotation", file=path, row=row, fix=fix)
    if translations.abs().max() > 1:
        problem = f"a translation of {translations.abs().max():g} boxes; are they in pixels?"
        raise BadDataError(problem, file=path, fix="divide the translations by the box")
    ones = torch.ones(len(rows), dtype=torch.float64)
    return Poses(rotations, shifts_from_cryodrgn(translations, box_angstrom), ones)
