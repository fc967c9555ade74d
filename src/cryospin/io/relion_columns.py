"""What the columns of a RELION particle table mean, for both dialects.

A quantity may be a column of the particles (RELION 3.0) or of their optics group (3.1+);
where both have it, the particle's own counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from cryospin.errors import BadDataError
from cryospin.io.image_files import box_of_first_stack
from cryospin.io.rows import doubled, rows_in_words, rows_of_keys
from cryospin.io.star import StarBlock
from cryospin.io.tokens import Tokens, unquoted
from cryospin.optics import CtfParameters
from cryospin.types import Unread

_DEFOCUS_FIX = "estimate the CTF first (CtfFind or Gctf) and extract the particles again"
# what is the microscope's needs no new estimate
_ADD = "add the column, to data_optics where there is one: "
OPTICS_FIXES = {
    "rlnVoltage": _ADD + "the microscope's voltage in kV (300 or 200, mostly)",
    "rlnSphericalAberration": _ADD + "the microscope's Cs in mm (2.7 for most)",
    "rlnAmplitudeContrast": _ADD + "0.1, or 0.07, whichever the defocus was estimated with",
}


@dataclass(frozen=True)
class RelionColumns:
    """The particles of the STAR file at `path`; `optics` is None in the 3.0 dialect."""

    path: Path
    particles: StarBlock
    optics: StarBlock | None

    @property
    def names(self) -> set[str]:
        """Of all columns, of the particles and of their optics."""
        return {*self.particles.table, *(() if self.optics is None else self.optics.table)}

    def numbers(self, name: str) -> np.ndarray | None:
        """One number per particle, (n,) float64; None where the table does not say.

        Raises
        ------
        BadDataError: what is no number, of a particle or of the optics group of one; particles
            and optics that contradict each other.
        """
        found = self.values_of(name)
        if found is None:
            return None
        values, error = found
        if error is not None:
            raise error
        if name in self.particles.table and self.optics is not None and name in self.optics.table:
            self._refuse_contradiction(name, values)
        return values

    def values_of(self, name: str) -> tuple[np.ndarray, BadDataError | None] | None:
        """The numbers, (n,) float64, NaN for what is none, and the error that names the first."""
        if name in self.particles.table:
            tokens = self.particles.column(name)
            values, rows = tokens.numbers(), None
        elif self.optics is not None and name in self.optics.table:
            # groups that no particle is in may hold anything
            tokens, rows = self.optics.column(name), self.optics_rows
            values = tokens.numbers()[rows]
        else:
            return None
        broken = np.flatnonzero(np.isnan(values))
        if not len(broken):
            return values, None
        row = int(broken[0] if rows is None else rows[broken[0]])
        of_particles = name in self.particles.table
        table = "of the particles" if of_particles else "of data_optics"
        more = f", {len(broken)} such rows" if of_particles and len(broken) > 1 else ""
        return values, BadDataError(
            f"{tokens[row]!r} is no number ({table}{more})",
            file=self.path,
            row=row + 1,
            column=name,
            fix="correct the value, or write the table again with the program that made it",
        )

    def _refuse_contradiction(self, name: str, values: np.ndarray) -> None:
        assert self.optics is not None
        of_group = self.optics.column(name).numbers()[self.optics_rows]
        differ = np.flatnonzero(np.abs(of_group - values) > 1e-4 * np.abs(values))
        if len(differ):
            row = int(differ[0])
            raise BadDataError(
                f"{values[row]:g}, but its optics group says {of_group[row]:g}",
                file=self.path,
                row=row + 1,
                column=name,
                fix="remove the column from the particles, or from data_optics, whichever is wrong",
            )

    def known_numbers(
        self, name: str, what: str = "", unread: Unread | None = None
    ) -> np.ndarray | None:
        """As `numbers`, but NaN where there is no number: of what can be done without.

        `unread` is told of the first, as one of `what`.
        """
        found = self.values_of(name)
        if found is None:
            return None
        values, error = found
        if error is not None and unread is not None:
            unread.setdefault(what, error)
        return values

    def tokens(self, name: str) -> Tokens | None:
        """One unquoted token per particle; None where the table does not say."""
        if name in self.particles.table:
            return self.text(name)
        if self.optics is not None and name in self.optics.table:
            return self.optics.column(name).unquoted()[self.optics_rows]
        return None

    def required(self, name: str, fix: str) -> np.ndarray:
        values = self.numbers(name)
        if values is None:
            raise BadDataError("no such column", file=self.path, column=name, fix=fix)
        return values

    def integers(self, name: str) -> np.ndarray | None:
        """Whole numbers, (n,) int64."""
        values = self.numbers(name)
        if values is None:
            return None
        broken = np.flatnonzero((values != np.rint(values)) | (np.abs(values) > 2**53))
        if len(broken):
            raise BadDataError(
                f"{values[broken[0]]:g} is no whole number",
                file=self.path,
                row=int(broken[0]) + 1,
                column=name,
                fix="correct the value",
            )
        return values.astype(np.int64)

    def text(self, name: str) -> Tokens | None:
        """The unquoted tokens of a column of the particles."""
        return self.particles.column(name).unquoted() if name in self.particles.table else None

    def pixel_sizes(self) -> np.ndarray:
        """Of the images, in Angstrom, (n,)."""
        sizes = self.numbers("rlnImagePixelSize")
        if sizes is not None:
            return sizes
        detector, magnification = map(self.numbers, ("rlnDetectorPixelSize", "rlnMagnification"))
        if detector is not None and magnification is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                # the detector's pixels are in micrometres
                return detector * 1e4 / magnification
        fix = "add it, or rlnDetectorPixelSize and rlnMagnification in a RELION 3.0 table"
        return self.required(
            "rlnPixelSize" if "rlnPixelSize" in self.particles.table else "rlnImagePixelSize", fix
        )

    def implied_pixel_sizes(self) -> np.ndarray | None:
        """By the detector's pixels, which are in micrometres, and the magnification, (n,); NaN
        where one of them is no number."""
        found = map(self.values_of, ("rlnDetectorPixelSize", "rlnMagnification"))
        detector, magnification = (None if each is None else each[0] for each in found)
        if detector is None or magnification is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            return detector * 1e4 / magnification

    def ctf(self) -> CtfParameters:
        """float32, which keeps a defocus to 0.01 Angstrom."""
        names = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
        u, v, angle = (self.required(name, _DEFOCUS_FIX) for name in names)
        phase = self.numbers("rlnPhaseShift")
        phase = np.zeros_like(u) if phase is None else phase
        kv, cs, contrast = (self.required(name, OPTICS_FIXES[name]) for name in OPTICS_FIXES)
        values = (u, v, angle, phase, kv, cs, contrast)
        return CtfParameters(*(torch.from_numpy(x).to(torch.float32) for x in values))

    def box(self, files: tuple[Path, ...]) -> int:
        """In pixels: as the table says, else as the first stack that exists says."""
        sizes = self.integers("rlnImageSize")
        if sizes is None:
            hint = "no column rlnImageSize tells the box"
            return box_of_first_stack(files, self.path, "rlnImageName", hint)
        if sizes.min() != sizes.max():
            raise BadDataError(
                f"boxes differ: {sizes.min()} and {sizes.max()} pixels",
                file=self.path,
                row=int(np.flatnonzero(sizes != sizes[0])[0]) + 1,
                column="rlnImageSize",
                fix="extract all particles with one box, or split the table",
            )
        return int(sizes[0])

    @cached_property
    def optics_rows(self) -> np.ndarray:
        """The row of the optics table each particle belongs to, (n,)."""
        assert self.optics is not None
        if "rlnOpticsGroup" not in self.particles.table and len(self.optics) == 1:
            return np.zeros(len(self.particles), dtype=np.int64)
        fix = "give both tables a column rlnOpticsGroup"
        if not all("rlnOpticsGroup" in t.table for t in (self.particles, self.optics)):
            raise BadDataError("missing", file=self.path, column="rlnOpticsGroup", fix=fix)
        known = self.optics.column("rlnOpticsGroup").numbers()
        found = self.values_of("rlnOpticsGroup")
        assert found is not None
        wanted, error = found
        if error is not None:
            raise error
        self._refuse_two_groups_of_one_number(known)
        rows = rows_of_keys(wanted, known)
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            raise BadDataError(
                f"optics group {wanted[unknown[0]]:g} is not in data_optics",
                file=self.path,
                row=int(unknown[0]) + 1,
                column="rlnOpticsGroup",
                fix="add the group to data_optics or correct the number",
            )
        return rows

    def _refuse_two_groups_of_one_number(self, numbers: np.ndarray) -> None:
        """Rows of data_optics that agree in every value may stand there twice."""
        assert self.optics is not None
        columns = zip(*self.optics.table.values(), strict=True)
        values = [tuple(map(unquoted, tokens)) for tokens in columns]
        for number in np.unique(numbers[doubled(numbers)]):
            rows = np.flatnonzero(numbers == number)
            if len({values[row] for row in rows}) > 1:
                problem = f"optics group {number:g} stands in {rows_in_words(rows)} of data_optics"
                raise BadDataError(
                    f"{problem}, with different values",
                    file=self.path,
                    row=int(rows[1]) + 1,
                    column="rlnOpticsGroup",
                    fix="give each group a number of its own, in both tables",
                )
