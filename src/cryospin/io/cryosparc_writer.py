"""cryoSPARC particle tables (`.cs`) with our poses: theirs again, or new ones.

Writing theirs keeps every column it does not set, bit for bit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from cryospin.io.conventions import (
    beam_tilt_to_cryosparc,
    image_sign_from_cryosparc,
    magnification_to_cryosparc,
    rotation_to_cryosparc,
    shifts_to_cryosparc,
)
from cryospin.io.cryosparc_classes import MULTI, alignments_per_class, class_columns
from cryospin.io.cryosparc_columns import CONFIDENCE, ORIGINAL_NAME
from cryospin.io.cryosparc_table import with_columns, write_cs
from cryospin.io.distortion import poses_in_images
from cryospin.optics import CtfParameters
from cryospin.types import Classes, ParticleStack, Poses

# what cryoSPARC's own refinements write beside pose and shift, with what they begin at
_NEUTRAL_ALIGNMENT = {
    "error": 0.0,
    "error_min": 0.0,
    "resid_pow": 0.0,
    "slice_pow": 0.0,
    "image_pow": 0.0,
    "cross_cor": 0.0,
    "alpha": 1.0,
    "weight": 0.0,
    "pose_ess": 0.0,
    "shift_ess": 0.0,
    "class_posterior": 1.0,
    "class_ess": 1.0,
}


def write_cryosparc(
    path: Path | str,
    stack: ParticleStack,
    poses: Poses | None,
    half_set: np.ndarray | None,
    stack_names: Mapping[int, str] = MappingProxyType({}),
    classes: Classes | None = None,
) -> None:
    """The stack's rows of its `.cs` table, with poses, half-sets (1, 2) and classes set.

    Parameters
    ----------
    stack_names: of particles, by their place in `stack`, whose stack shall be named otherwise.

    Raises
    ------
    ResourceError: the disk does not take it.
    """
    rows = stack.table.rows[stack.rows]
    if stack_names:
        paths = rows["blob/path"].tolist()
        encoded = isinstance(paths[0], bytes)
        for row, name in stack_names.items():
            paths[row] = name.encode("utf-8") if encoded else name
        rows = with_columns(rows, {"blob/path": np.array(paths)})
    if classes is not None:
        # of another number of classes, maybe
        rows = rows[[name for name in rows.dtype.names if not name.startswith(f"{MULTI}/")]]
    write_cs(path, with_columns(rows, _alignment(rows, stack, poses, half_set, classes)))


def write_new_cryosparc(
    path: Path | str,
    stack: ParticleStack,
    stack_names: Sequence[str],
    poses: Poses | None,
    half_set: np.ndarray | None,
    classes: Classes | None = None,
) -> None:
    """A fresh `.cs` table of particles that another program's table told of.

    Parameters
    ----------
    stack_names: path of each particle's image file, as it shall stand in the table.
    """
    n = len(stack)
    sign = np.ones(n) if stack.image_sign is None else stack.image_sign
    blob_sign = image_sign_from_cryosparc(torch.from_numpy(np.asarray(sign, dtype=np.float64)))
    columns: dict[str, np.ndarray] = {
        "uid": np.array(_numbers_of(stack.uids), dtype="<u8"),
        "blob/path": np.array([name.encode("utf-8") for name in stack_names], dtype="S"),
        "blob/idx": stack.slice_index.astype("<u4"),
        "blob/shape": np.full((n, 2), stack.box, dtype="<u4"),
        "blob/psize_A": np.full(n, stack.pixel_size_angstrom, dtype="<f4"),
        "blob/sign": blob_sign.numpy().astype("<f4"),
        "ctf/type": np.full(n, b"imported"),
        "ctf/exp_group_id": stack.optics_group.astype("<u4"),
        **_ctf_columns(stack.ctf),
        **_aberration_columns(stack),
        **_place_columns(stack),
    }
    if stack.original_names is not None:
        columns[ORIGINAL_NAME] = np.array([name.encode("utf-8") for name in stack.original_names])
    empty = np.empty(n, dtype=np.dtype([]))
    rows = with_columns(empty, columns)
    write_cs(path, with_columns(rows, _alignment(rows, stack, poses, half_set, classes)))


def _numbers_of(uids: Sequence[str]) -> list[int]:
    """64 bits a row that depend on path and index alone, and, where an image stands in several
    rows, on which of them it is."""
    seen: Counter[str] = Counter()
    numbers = []
    for uid in uids:
        name = f"{uid}#{seen[uid]}" if seen[uid] else uid
        seen[uid] += 1
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        numbers.append(int.from_bytes(digest, "little"))
    return numbers


def _ctf_columns(ctf: CtfParameters) -> dict[str, np.ndarray]:
    n = len(ctf)
    values = {
        "accel_kv": ctf.voltage_kv,
        "cs_mm": ctf.spherical_aberration_mm,
        "amp_contrast": ctf.amplitude_contrast,
        "df1_A": ctf.defocus_u_angstrom,
        "df2_A": ctf.defocus_v_angstrom,
        "df_angle_rad": torch.deg2rad(ctf.defocus_angle_degrees.double()),
        "phase_shift_rad": torch.deg2rad(ctf.phase_shift_degrees.double()),
        "scale": torch.ones(n),
    }
    widths = {"shift_A": 2, "trefoil_A": 2, "tetra_A": 4}
    columns = {f"ctf/{name}": x.numpy().astype("<f4") for name, x in values.items()}
    columns["ctf/scale_const"] = np.zeros(n, dtype="<f4")
    columns |= {f"ctf/{name}": np.zeros((n, width), "<f4") for name, width in widths.items()}
    return columns | {"ctf/bfactor": np.zeros(n, dtype="<f4")}


def _aberration_columns(stack: ParticleStack) -> dict[str, np.ndarray]:
    def of_groups(name: str) -> torch.Tensor:
        return torch.tensor([getattr(group, name) for group in stack.optics], dtype=torch.float64)

    cs = of_groups("spherical_aberration_mm")[:, None]
    tilt = beam_tilt_to_cryosparc(of_groups("beam_tilt_mrad"), cs)
    matrix = magnification_to_cryosparc(of_groups("magnification"))
    columns = {"ctf/tilt_A": tilt, "ctf/anisomag": matrix}
    return {name: x.numpy().astype("<f4")[stack.optics_group] for name, x in columns.items()}


def _place_columns(stack: ParticleStack) -> dict[str, np.ndarray]:
    """cryoSPARC has fractions of a micrograph whose size no other table tells: names only, and
    each segment's filament, 0 for none."""
    columns = {}
    if stack.micrographs is not None:
        names = [str(name).encode("utf-8") for name in stack.micrographs]
        columns["location/micrograph_path"] = np.array(names, dtype="S")
    if stack.tubes is not None:
        columns["filament/filament_uid"] = (stack.tubes + 1).astype("<u8")
    return columns


def _alignment(
    rows: np.ndarray,
    stack: ParticleStack,
    poses: Poses | None,
    half_set: np.ndarray | None,
    classes: Classes | None,
) -> dict[str, np.ndarray]:
    """The columns to set; what a refinement writes besides is added where it is missing."""
    columns: dict[str, np.ndarray] = {}
    n, prefix = len(rows), "alignments3D/"
    if classes is not None:
        columns |= class_columns(classes)
    if half_set is not None:
        columns[prefix + "split"] = (np.asarray(half_set) - 1).astype("<u4")
    if poses is None:
        return columns if classes is None else columns | _per_class(rows, columns, classes)
    pixel_size_angstrom = stack.pixel_size_angstrom
    in_images = poses_in_images(poses, stack.optics, stack.optics_group)
    shifts = shifts_to_cryosparc(in_images.shifts_angstrom, pixel_size_angstrom)
    columns |= {
        prefix + "shift": shifts.numpy().astype("<f4"),
        prefix + "pose": rotation_to_cryosparc(poses.rotations).numpy().astype("<f4"),
        prefix + "psize_A": np.full(n, pixel_size_angstrom, dtype="<f4"),
        CONFIDENCE: poses.confidence.numpy().astype("<f4"),
    }
    neutral = {prefix + k: np.full(n, x, dtype="<f4") for k, x in _NEUTRAL_ALIGNMENT.items()}
    neutral |= {prefix + name: np.zeros(n, dtype="<u4") for name in ("split", "class")}
    there = {*(rows.dtype.names or ()), *columns}
    columns |= {name: values for name, values in neutral.items() if name not in there}
    return columns if classes is None else columns | _per_class(rows, columns, classes)


def _per_class(
    rows: np.ndarray, columns: dict[str, np.ndarray], classes: Classes
) -> dict[str, np.ndarray]:
    """`alignments3D_multi` of what is set or was there in `alignments3D`."""
    if classes.posterior is None:
        return {}
    there = {name: rows[name] for name in rows.dtype.names or ()}
    return alignments_per_class(there | columns, classes.count)
