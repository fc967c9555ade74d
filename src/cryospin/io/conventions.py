"""The only place that converts between other programs' conventions and ours.

Ours: `x_view = R x_object`, projection along view z, and `image(x) = projection(x - t)`.
RELION's matrix A(rot, tilt, psi) is our R, and its origin is -t. Checked against RELION
itself in tests/outside/test_relion_conventions.py.

cryoSPARC's `pose` is a rotation vector whose matrix is the transpose of our R; its `shift`
has RELION's sign, in pixels of the alignment. Its beam tilt has RELION's sign too, as a length,
and its magnification is RELION's matrix less one. cryoDRGN's matrix is our R, its translation has
RELION's sign, in units of the box.
"""

from __future__ import annotations

import roma
import torch
from jaxtyping import Float
from torch import Tensor


def _rotation_about_z(angle: Float[Tensor, "*n"]) -> Float[Tensor, "*n 3 3"]:
    """Of the coordinate axes (passive), as RELION's Euler angles are defined."""
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, s, zero, -s, c, zero, zero, zero, one], dim=-1).unflatten(-1, (3, 3))


def _rotation_about_y(angle: Float[Tensor, "*n"]) -> Float[Tensor, "*n 3 3"]:
    """Of the coordinate axes (passive), as RELION's Euler angles are defined."""
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, zero, -s, zero, one, zero, s, zero, c], dim=-1).unflatten(-1, (3, 3))


def euler_to_rotation(angles_degrees: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3 3"]:
    """RELION's A(rot, tilt, psi) = Rz(psi) Ry(tilt) Rz(rot), in float64.

    The convention of Heymann, Chagoyen & Belnap (2005), where each factor turns the axes.
    """
    rot, tilt, psi = torch.deg2rad(angles_degrees.to(torch.float64)).unbind(-1)
    return _rotation_about_z(psi) @ _rotation_about_y(tilt) @ _rotation_about_z(rot)


def rotation_to_euler(rotations: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3"]:
    """(rot, tilt, psi) in degrees, tilt in [0, 180]; the inverse of `euler_to_rotation`.

    Where the view lies along the object's z axis only rot + psi (or psi - rot) is defined;
    rot is then 0.
    """
    matrix = rotations.to(torch.float64)
    sine_tilt = torch.hypot(matrix[..., 2, 0], matrix[..., 2, 1])
    tilt = torch.atan2(sine_tilt, matrix[..., 2, 2])
    # below this sine the third row and column are rounding error of a float32 matrix
    polar = sine_tilt < 1e-6
    rot = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 0])
    rot = torch.where(polar, torch.zeros_like(rot), rot)
    psi = torch.atan2(matrix[..., 1, 2], -matrix[..., 0, 2])
    psi = torch.where(polar, torch.atan2(matrix[..., 0, 1], matrix[..., 1, 1]), psi)
    return torch.rad2deg(torch.stack([rot, tilt, psi], dim=-1))


def shifts_from_relion_origins(origins: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
    """RELION's origin is the shift that centres the particle: the negative of ours.

    Its own inverse; the unit (Angstrom in 3.1, pixels in 3.0) stays what it was.
    """
    return -origins


def rotation_from_cryosparc(pose: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3 3"]:
    """R of cryoSPARC's rotation vector (radians, of any length), in float64."""
    return roma.rotvec_to_rotmat(pose.to(torch.float64)).mT


def rotation_to_cryosparc(rotations: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3"]:
    """The inverse of `rotation_from_cryosparc`; its length is at most pi."""
    return roma.rotmat_to_rotvec(rotations.to(torch.float64).mT)


def shifts_from_cryosparc(
    shifts: Float[Tensor, "*n 2"], pixel_size_angstrom: Float[Tensor, "*n 1"] | float
) -> Float[Tensor, "*n 2"]:
    """In Angstrom. The pixel size is the alignment's, which a binned refinement has its own of."""
    return -shifts.to(torch.float64) * pixel_size_angstrom


def shifts_to_cryosparc(
    shifts_angstrom: Float[Tensor, "*n 2"], pixel_size_angstrom: float
) -> Float[Tensor, "*n 2"]:
    """In pixels of `pixel_size_angstrom`."""
    return -shifts_angstrom.to(torch.float64) / pixel_size_angstrom


def shifts_from_cryodrgn(
    translations: Float[Tensor, "*n 2"], box_angstrom: float
) -> Float[Tensor, "*n 2"]:
    """In Angstrom, of translations in units of the box."""
    return -translations.to(torch.float64) * box_angstrom


def shifts_to_cryodrgn(
    shifts_angstrom: Float[Tensor, "*n 2"], box_angstrom: float
) -> Float[Tensor, "*n 2"]:
    """In units of the box."""
    return -shifts_angstrom.to(torch.float64) / box_angstrom


def beam_tilt_from_cryosparc(
    tilt_angstrom: Float[Tensor, "*n 2"], spherical_aberration_mm: Float[Tensor, "*n 1"]
) -> Float[Tensor, "*n 2"]:
    """In mrad, of cryoSPARC's `tilt_A`, the coma that a tilt makes: Cs times its angle.

    The sign is RELION's. Without a Cs there is no tilt that makes a coma: zero.
    """
    per_mrad = spherical_aberration_mm * 1e4
    return torch.where(per_mrad > 0, tilt_angstrom / per_mrad, torch.zeros_like(tilt_angstrom))


def beam_tilt_to_cryosparc(
    tilt_mrad: Float[Tensor, "*n 2"], spherical_aberration_mm: Float[Tensor, "*n 1"]
) -> Float[Tensor, "*n 2"]:
    """`tilt_A` in Angstrom; the inverse of `beam_tilt_from_cryosparc`."""
    return tilt_mrad * spherical_aberration_mm * 1e4


def magnification_from_cryosparc(anisomag: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Rows of the matrix on frequencies, which is RELION's, of cryoSPARC's `anisomag`.

    cryoSPARC keeps the matrix less one, so that zeros are a round image; other programs write the
    matrix itself, which real distortions of a few per cent let one tell.
    """
    one = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=anisomag.dtype)
    less_one = (anisomag[..., :1] + anisomag[..., 3:]).abs() < 1
    return torch.where(less_one, anisomag + one, anisomag)


def magnification_to_cryosparc(rows: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """The inverse of `magnification_from_cryosparc`: the matrix less one."""
    return rows - torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=rows.dtype)


def image_sign_from_cryosparc(blob_sign: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """What pixels are multiplied with so that protein is bright.

    cryoSPARC's `blob/sign` is -1 where protein is bright (RELION's images), +1 where it is
    dark (as in a micrograph). Its own inverse.
    """
    return -blob_sign


def shifts_in_round_image(
    shifts: Float[Tensor, "n 2"], magnification: Float[Tensor, "n 2 2"]
) -> Float[Tensor, "n 2"]:
    """Ours from those in a distorted image: the phase k.t of the image is (M k).(M^-T t)."""
    return torch.linalg.solve(magnification.mT, shifts[..., None])[..., 0]


def shifts_in_distorted_image(
    shifts: Float[Tensor, "n 2"], magnification: Float[Tensor, "n 2 2"]
) -> Float[Tensor, "n 2"]:
    """Inverse of `shifts_in_round_image`."""
    return (magnification.mT @ shifts[..., None])[..., 0]
