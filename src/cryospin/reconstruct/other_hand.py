"""A finished run in the other hand: maps, half-maps, mask and poses turned together.

Images cannot tell a map from its mirror image; alpha helices of the map can (right-handed
below 7 Angstrom or so), and then everything has to be mirrored at once.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryospin.errors import BadDataError, UsageError
from cryospin.io.atomic import atomic_path
from cryospin.io.formats import poses_of, read_particles_of_any_kind
from cryospin.io.mrc import read_map, write_map
from cryospin.io.outputs import Outputs, claimed
from cryospin.io.run_folder import EVALUATION, LOG
from cryospin.io.table_writer import write_beside
from cryospin.rotations.align import mirror_rotations
from cryospin.volumes.boxes import mirrored

MAPS = ("map.mrc", "half1.mrc", "half2.mrc", "mask.mrc")
_CARRIED = ("fsc.star", LOG, EVALUATION)
_TABLES = ("particles.star", "particles.cs")
_OUTPUTS = Outputs((*MAPS, *_TABLES, *_CARRIED, "result.json", "report.html"))


def write_other_hand(run: Path, out: Path) -> None:
    """The run of folder `run`, mirrored by z -> -z, into another folder.

    Poses become M R M and shifts stay: projections are then the same, pixel by pixel.

    Raises
    ------
    UsageError: no run that converged there; `out` is the run's own folder, holds another
        program's files of these names, or another process is writing there.
    BadDataError: its table has no poses, or one of its files is damaged; nothing is written then.
    ResourceError: the disk does not take it.
    """
    if not (run / "result.json").is_file() or not (run / MAPS[0]).is_file():
        fix = "give a folder of a run that converged (result.json, map.mrc)"
        raise UsageError(f"no finished map in {run}\n  fix: {fix}")
    table = run / ("particles.cs" if (run / "particles.cs").is_file() else "particles.star")
    stack = read_particles_of_any_kind(table)
    poses = poses_of(stack)
    if stack.half_set is None:
        fix = "give a folder that cryospin reconstruct wrote"
        raise stack.unread.get("half-sets") or BadDataError(
            "no such column", file=table, column="rlnRandomSubset", fix=fix
        )
    result = _told(run / "result.json")
    maps = {name: read_map(run / name) for name in MAPS if (run / name).is_file()}
    mirrored_poses = replace(poses, rotations=mirror_rotations(poses.rotations))
    result["hand_flipped_from"] = str(run)
    with claimed(out, _OUTPUTS, (*stack.inputs, *(run / name for name in _OUTPUTS.files))):
        (out / "result.json").unlink(missing_ok=True)
        for name, density in maps.items():
            write_map(out / name, mirrored(density))
        write_beside(out, stack, mirrored_poses, stack.half_set, stack.classes)
        for name in _CARRIED:
            if (run / name).is_file():
                with atomic_path(out / name) as temporary:
                    temporary.write_bytes((run / name).read_bytes())
        with atomic_path(out / "result.json") as temporary:
            temporary.write_text(json.dumps(result, indent=1))


def _told(path: Path) -> dict[str, Any]:
    """result.json. Raises BadDataError where it is none."""
    try:
        told = json.loads(path.read_text())
    except ValueError as error:
        fix = "give a folder that cryospin reconstruct wrote"
        raise BadDataError(f"not JSON: {error}", file=path, fix=fix) from error
    return told
