"""What is known of the microscope: an optics group's numbers, and each particle's CTF."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Optics:
    """One optics group: what is common to the particles of one microscope session.

    Aberrations and magnification are RELION's (docs/conventions.md).

    Parameters
    ----------
    name : str
        As the table calls the group.
    pixel_size_angstrom : float
        Of the images.
    voltage_kv, spherical_aberration_mm, amplitude_contrast : float
        Of the microscope.
    micrograph_pixel_size_angstrom : float or None
        Of the micrographs, in whose pixels coordinates count; None if the table does not say.
    beam_tilt_mrad : tuple of float
        x and y.
    odd_zernike, even_zernike : tuple of float
        Coefficients in radians, for frequencies in 1/Angstrom.
    magnification : tuple of float
        Rows of the 2x2 matrix that takes an image's frequencies to the specimen's.
    assumed_micrograph_pixel_size_angstrom : float or None
        For coordinates, if the table did not say it before the images were made smaller; None:
        that of the images.
    phase_flipped : bool
        The images were multiplied with the sign of their CTF, so they are modelled with its
        absolute value.
    """

    name: str
    pixel_size_angstrom: float
    voltage_kv: float
    spherical_aberration_mm: float
    amplitude_contrast: float
    micrograph_pixel_size_angstrom: float | None = None
    beam_tilt_mrad: tuple[float, float] = (0.0, 0.0)
    odd_zernike: tuple[float, ...] = ()
    even_zernike: tuple[float, ...] = ()
    magnification: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 1.0)
    assumed_micrograph_pixel_size_angstrom: float | None = None
    phase_flipped: bool = False

    @property
    def coordinate_pixel_size_angstrom(self) -> float:
        """Of the pixels that coordinates count: known, else assumed."""
        return (
            self.micrograph_pixel_size_angstrom
            or self.assumed_micrograph_pixel_size_angstrom
            or self.pixel_size_angstrom
        )

    @property
    def round(self) -> bool:
        """Whether the magnification is the same in all directions, and as the pixel size says."""
        return self.magnification == (1.0, 0.0, 0.0, 1.0)

    @property
    def magnification_matrix(self) -> np.ndarray:
        return np.array(self.magnification).reshape(2, 2)


@dataclass(frozen=True)
class CtfParameters:
    """Contrast transfer of each particle; underfocus is positive, as in RELION.

    Parameters
    ----------
    defocus_u_angstrom, defocus_v_angstrom : Tensor
        (n,), as all fields.
    defocus_angle_degrees : Tensor
        From the x axis to the axis of `defocus_u_angstrom`.
    phase_shift_degrees : Tensor
        Of a phase plate.
    voltage_kv, spherical_aberration_mm, amplitude_contrast : Tensor
        Of the microscope.
    """

    defocus_u_angstrom: Float[Tensor, " n"]
    defocus_v_angstrom: Float[Tensor, " n"]
    defocus_angle_degrees: Float[Tensor, " n"]
    phase_shift_degrees: Float[Tensor, " n"]
    voltage_kv: Float[Tensor, " n"]
    spherical_aberration_mm: Float[Tensor, " n"]
    amplitude_contrast: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.defocus_u_angstrom)

    def select(self, index: Int[Tensor, " b"] | slice) -> CtfParameters:
        return CtfParameters(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device) -> CtfParameters:
        return CtfParameters(*(getattr(self, field.name).to(device) for field in fields(self)))
