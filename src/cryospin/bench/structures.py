"""The molecules a benchmark simulates, by PDB id: found in a folder, or fetched into it."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from cryospin.errors import BadDataError, ResourceError, UsageError
from cryospin.io.atomic import atomic_path, check_output_directory
from cryospin.rotations.symmetry import symmetry_group
from cryospin.simulate.models import ATOMIC, MAPS

SOURCE = "https://files.rcsb.org/download/"
_SECONDS = 60.0
_PDB_ID = re.compile(r"[0-9][A-Za-z0-9]{3}|pdb_[0-9a-z]{8}")

PAPER_STRUCTURES = ("6vxx:C3", "2cg9", "3jb9")
"""What the paper simulates: the spike, HSP90, and a spliceosome."""

TITLES = {
    "6vxx": "spike",
    "2cg9": "HSP90",
    "3jb9": "spliceosome (a yeast one, standing in for the paper's)",
}


@dataclass(frozen=True)
class Structure:
    """A molecule by the name of its file, and the point group errors are taken modulo."""

    name: str
    symmetry: str = "C1"

    @classmethod
    def parse(cls, text: str) -> Structure:
        """`6vxx:C3`. Raises UsageError for an unknown point group."""
        name, _, symmetry = text.partition(":")
        symmetry_group(symmetry or "C1")
        return cls(name, symmetry or "C1")

    @property
    def title(self) -> str:
        known = TITLES.get(self.name.lower())
        modulo = "" if self.symmetry == "C1" else f", {self.symmetry}"
        return f"{self.name}{modulo}" + (f": {known}" if known else "")


def model_file(name: str, folder: Path) -> Path:
    """`folder/NAME.*` (PDB, mmCIF or map, or with .gz; NAME in either case), fetched if absent.

    Raises
    ------
    UsageError: several such files, or none and a name that is no PDB id.
    BadDataError: the PDB has no such entry.
    ResourceError: it cannot be fetched, or not be written.
    """
    kinds = ATOMIC | MAPS
    found = [
        path
        for path in (sorted(folder.iterdir()) if folder.is_dir() else [])
        if path.name.lower().removesuffix(".gz").rpartition(".")[0] == name.lower()
        and Path(path.name.lower().removesuffix(".gz")).suffix in kinds
    ]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UsageError(f"{folder} has several models called {name}: {names}\n  fix: keep one")
    return found[0] if found else _fetched(name, folder)


def _fetched(name: str, folder: Path) -> Path:
    if not _PDB_ID.fullmatch(name):
        raise UsageError(
            f"{folder} has no model called {name}, and that is no PDB id to fetch\n"
            f"  fix: put {name}.pdb or {name}.cif there, or name an entry such as 6vxx"
        )
    address, target = f"{SOURCE}{name.upper()}.cif.gz", folder / f"{name.lower()}.cif.gz"
    check_output_directory(folder)
    fix = f"fetch it on another machine and put it into {folder} as {target.name}"
    try:
        with (
            atomic_path(target) as temporary,
            open(temporary, "wb") as file,
            urllib.request.urlopen(address, timeout=_SECONDS) as answer,
        ):
            shutil.copyfileobj(answer, file)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise BadDataError(
                f"the PDB has no mmCIF file of {name}", file=address, fix="check the id"
            ) from error
        raise ResourceError(f"{address}: {error}\n  fix: {fix}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise ResourceError(
            f"{folder} has no model called {name}, and {address} cannot be reached ({reason})"
            f"\n  fix: {fix}"
        ) from error
    return target
