"""What the columns of a cryoSPARC particle table mean.

Units: radians for angles, Angstrom for defocus, pixels of the alignment's own pixel size for
shifts. Trefoil and tetrafoil are neither carried nor modelled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int

from cryospin.errors import BadDataError
from cryospin.io.conventions import (
    image_sign_from_cryosparc,
    rotation_from_cryosparc,
    shifts_from_cryosparc,
)
from cryospin.io.rows import in_order_of_appearance
from cryospin.io.tokens import Tokens
from cryospin.optics import CtfParameters
from cryospin.types import Poses, Unread

# columns of ours, which cryoSPARC keeps and makes nothing of
CONFIDENCE = "cryospin/confidence"
ORIGINAL_NAME = "cryospin/original_name"
_AGAIN = "write the table again with cryoSPARC"
REQUIRED = (
    "blob/path",
    "blob/idx",
    "blob/shape",
    "blob/psize_A",
    "ctf/accel_kv",
    "ctf/cs_mm",
    "ctf/amp_contrast",
    "ctf/df1_A",
    "ctf/df2_A",
    "ctf/df_angle_rad",
)


@dataclass(frozen=True)
class CryosparcColumns:
    """The rows of the `.cs` file at `path`, passthroughs joined."""

    path: Path
    rows: np.ndarray

    def __contains__(self, name: str) -> bool:
        return name in (self.rows.dtype.names or ())

    def refuse(self, problem: str, column: str, fix: str, row: int | None = None) -> BadDataError:
        place = None if row is None else row + 1
        return BadDataError(problem, file=self.path, row=place, column=column, fix=fix)

    def numbers(self, name: str, shape: tuple[int, ...] = ()) -> np.ndarray:
        """A column as float64, (n, *shape), all finite. Raises BadDataError otherwise."""
        values, error = self._values(name, shape)
        if error is not None:
            raise error
        return values

    def _values(self, name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, BadDataError | None]:
        """The numbers, NaN for what is none, and the error that names the first."""
        values = self.rows[name]
        if values.shape[1:] != shape or values.dtype.kind not in "iufb":
            problem = f"has the type {self.rows.dtype[name]}"
            return np.full((len(values), *shape), np.nan), self.refuse(problem, name, _AGAIN)
        values = values.astype(np.float64)
        finite = np.isfinite(values)
        broken = np.flatnonzero(~finite.reshape(len(values), -1).all(axis=1))
        if not len(broken):
            return values, None
        more = f" ({len(broken)} such rows)" if len(broken) > 1 else ""
        problem = f"{values[broken[0]]} is no number{more}"
        return np.where(finite, values, np.nan), self.refuse(problem, name, _AGAIN, int(broken[0]))

    def known_numbers(
        self,
        name: str,
        shape: tuple[int, ...] = (),
        what: str = "",
        unread: Unread | None = None,
    ) -> np.ndarray:
        """As `numbers`, but NaN where there is no number: of what can be done without.

        `unread` is told of the first, as one of `what`.
        """
        values, error = self._values(name, shape)
        if error is not None and unread is not None:
            unread.setdefault(what, error)
        return values

    def optional(self, name: str, default: float) -> np.ndarray:
        return self.numbers(name) if name in self else np.full(len(self.rows), default)

    def text(self, name: str) -> Tokens:
        """A column of names."""
        values = self.rows[name]
        if values.ndim != 1 or values.dtype.kind not in "SU":
            raise self.refuse(f"has the type {self.rows.dtype[name]}, not text", name, _AGAIN)
        if values.dtype.kind == "U":
            return Tokens(np.strings.encode(values, "utf-8"))
        names = Tokens(np.ascontiguousarray(values))
        try:
            [*names.distinct()[0]]
        except UnicodeDecodeError as error:
            raise self.refuse("names that are not text", name, _AGAIN) from error
        return names

    def stack_names(self) -> tuple[list[str], Int[np.ndarray, " n"]]:
        """Paths of the image files in order of appearance, without the mark `>` of a path relative
        to an export, and which of them each image is in."""
        paths = self.text("blob/path")
        first, which = in_order_of_appearance(paths.array)
        names = [path.removeprefix(">") for path in paths[first]]
        strange = [not name or not name.isprintable() for name in names]
        if any(strange):
            number = strange.index(True)
            fix = "give the passthrough file of the job that extracted the particles"
            problem = f"{names[number][:40]!r} is no path"
            raise self.refuse(problem, "blob/path", fix, int(first[number]))
        return names, which

    def slices(self) -> np.ndarray:
        """Of each image in its file, counted from 0, (n,) int64."""
        index = self.numbers("blob/idx")
        broken = np.flatnonzero((index < 0) | (index > 1e9) | (index != np.rint(index)))
        if len(broken):
            problem = f"{index[broken[0]]:g} is no index of an image"
            raise self.refuse(problem, "blob/idx", "re-export the particles", int(broken[0]))
        return index.astype(np.int64)

    def box(self) -> int:
        shape = self.numbers("blob/shape", (2,))
        odd = np.flatnonzero((shape != shape[0, 0]).any(axis=1) | ~(shape[:, 0] >= 1))
        if len(odd) or shape[0, 0] > 1e6:
            row = int(odd[0]) if len(odd) else 0
            problem = f"images of {shape[row, 1]:g} x {shape[row, 0]:g}, not one square box"
            raise self.refuse(problem, "blob/shape", "extract all particles with one box", row)
        return int(shape[0, 0])

    def image_sign(self) -> np.ndarray | None:
        """See `image_sign_from_cryosparc`; None where nothing is to be done."""
        if "blob/sign" not in self:
            return None
        blob = self.numbers("blob/sign")
        broken = np.flatnonzero(np.abs(blob) != 1.0)
        if len(broken):
            problem, fix = f"{blob[broken[0]]:g} is no sign", "it is -1 (protein bright) or 1"
            raise self.refuse(problem, "blob/sign", fix, int(broken[0]))
        sign = image_sign_from_cryosparc(torch.from_numpy(blob)).numpy()
        return sign if (sign < 0).any() else None

    def ctf(self) -> CtfParameters:
        degrees = 180.0 / np.pi
        values = (
            self.numbers("ctf/df1_A"),
            self.numbers("ctf/df2_A"),
            self.numbers("ctf/df_angle_rad") * degrees,
            self.optional("ctf/phase_shift_rad", 0.0) * degrees,
            self.numbers("ctf/accel_kv"),
            self.numbers("ctf/cs_mm"),
            self.numbers("ctf/amp_contrast"),
        )
        return CtfParameters(*(torch.from_numpy(x).to(torch.float32) for x in values))

    def half_set(self, unread: Unread) -> np.ndarray | None:
        """1 or 2; cryoSPARC's `split` counts from 0. None where all are of one half."""
        for group in ("alignments3D", "alignments3D_multi"):
            if f"{group}/split" in self:
                split = self.known_numbers(f"{group}/split", (), "half-sets", unread)
                strange = np.flatnonzero(~np.isin(split, (0, 1)))
                if len(strange):
                    row = int(strange[0])
                    problem = f"{split[row]:g} is no half-set ({len(strange)} such rows)"
                    error = self.refuse(problem, f"{group}/split", "a half-set is 0 or 1", row)
                    unread.setdefault("half-sets", error)
                    return None
                return split.astype(np.int64) + 1 if (split != split[0]).any() else None
        return None

    def poses(self, pixel_size_angstrom: float, unread: Unread) -> Poses | None:
        """float64, NaN where a row has none. Of `alignments3D`, else of the best of several
        classes. None where no row has one."""
        try:
            found = self._alignments(pixel_size_angstrom, unread)
        except BadDataError as error:
            unread["poses"] = error
            return None
        if found is None:
            return None
        values = np.concatenate(found, axis=1)
        broken = np.isnan(values).any(axis=1)
        if broken.all():
            return None
        values[broken] = np.nan
        pose, shift, size = torch.from_numpy(values).split((3, 2, 1), dim=1)
        confidence = np.ones(len(values))
        if CONFIDENCE in self:
            known = self.known_numbers(CONFIDENCE, (), "confidences", unread)
            confidence = np.nan_to_num(known, nan=0.0).clip(0.0, 1.0)
        return Poses(
            rotation_from_cryosparc(pose),
            shifts_from_cryosparc(shift, size),
            torch.from_numpy(confidence),
        )

    def _alignments(self, pixel_size: float, unread: Unread) -> tuple[np.ndarray, ...] | None:
        """Rotation vectors (n, 3), shifts (n, 2) in pixels, and their pixel size (n, 1)."""
        if "alignments3D/pose" in self:
            part = self._one_class("alignments3D", pixel_size, unread)
            return part[1], part[2], part[3][:, None]
        if "alignments3D_multi/pose" in self:
            return self._best_class(self._multi(pixel_size, unread))
        pattern = re.compile(r"alignments_class_(\d+)/pose")
        groups = [m[1] for m in map(pattern.fullmatch, self.rows.dtype.names or ()) if m]
        if not groups:
            return None
        parts = [self._one_class(f"alignments_class_{k}", pixel_size, unread) for k in groups]
        return self._best_class(tuple(np.stack(part, axis=1) for part in zip(*parts, strict=True)))

    def _one_class(self, group: str, pixel_size: float, unread: Unread) -> tuple[np.ndarray, ...]:
        """Posterior (n,), pose (n, 3), shift (n, 2), pixel size (n,); neutral where missing."""

        def known(name: str, shape: tuple[int, ...], default: float, what: str) -> np.ndarray:
            if f"{group}/{name}" not in self:
                return np.full((len(self.rows), *shape), default)
            return self.known_numbers(f"{group}/{name}", shape, what, unread)

        return (
            known("class_posterior", (), 1.0, "class posteriors"),
            known("pose", (3,), np.nan, "poses"),
            known("shift", (2,), 0.0, "poses"),
            known("psize_A", (), pixel_size, "poses"),
        )

    def _multi(self, pixel_size: float, unread: Unread) -> tuple[np.ndarray, ...]:
        """Posterior (n, c), poses (n, c, 3), shifts (n, c, 2), pixel sizes (n, c), c classes."""
        group, n = "alignments3D_multi", len(self.rows)
        pose = self.rows[f"{group}/pose"]
        classes = pose.shape[1] if pose.ndim == 3 else 0
        for name in ("shift", "class_posterior"):
            if not classes or f"{group}/{name}" not in self:
                fix = "give the particles of one class"
                raise self.refuse("no pose per class", f"{group}/{name}", fix)
        size = np.full((n, classes), pixel_size)
        if f"{group}/psize_A" in self:
            per_class = self.rows[f"{group}/psize_A"].ndim == 2
            shape = (classes,) if per_class else ()
            size = self.known_numbers(f"{group}/psize_A", shape, "poses", unread)
            size = np.broadcast_to(size.reshape(n, -1), (n, classes))
        what = "class posteriors"
        return (
            self.known_numbers(f"{group}/class_posterior", (classes,), what, unread),
            self.known_numbers(f"{group}/pose", (classes, 3), "poses", unread),
            self.known_numbers(f"{group}/shift", (classes, 2), "poses", unread),
            size,
        )

    def _best_class(self, parts: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Of each particle: pose (n, 3), shift (n, 2), pixel size (n, 1)."""
        posterior, pose, shift, size = parts
        # a posterior that is no number is never the highest
        best = np.where(np.isnan(posterior), -np.inf, posterior).argmax(axis=1)
        row = np.arange(len(best))
        return pose[row, best], shift[row, best], size[row, best][:, None]
