"""Images as a lens without tilt and distortion would have given them.

    I(k) = C(M k) exp(i phi(M k)) s_k(t) V(R^T (M k, 0))

is RELION's model of an image whose optics group has a magnification matrix M on frequencies and
antisymmetrical aberrations phi (beam tilt, odd Zernike). Taking q = M k, the transform of the
image at M^-1 q, less its phase, is that of a round and untilted image at q: what is undone here,
once, when coefficients are made, no kernel needs to know of. Shifts are then M^-T t
(io.conventions). Symmetrical aberrations are part of the CTF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.aberrations import even_zernike_phase, image_phase
from cryospin.ctf import contrast_transfer
from cryospin.fourier.disk import FourierDisk, images_to_coefficients
from cryospin.fourier.nonuniform import NonuniformTransform
from cryospin.optics import Optics
from cryospin.parallel import CPU
from cryospin.types import ParticleStack


@dataclass(frozen=True)
class _Lens:
    """One optics group's: each part None where it does nothing.

    undistorted: the transform at M^-1 q.
    known: which of these lie inside the images' Nyquist square.
    unphased: exp(-i phi(q)).
    symmetrical: radians of the CTF's argument.
    flipped: images have the modulus of the CTF.
    """

    undistorted: NonuniformTransform | None
    known: Tensor | None
    unphased: Tensor | None
    symmetrical: Tensor | None
    flipped: bool

    @classmethod
    def of(cls, optics: Optics, disk: FourierDisk) -> _Lens:
        places = np.stack([disk.kx, disk.ky], axis=1).astype(np.float64)
        frequency = places / (disk.box * optics.pixel_size_angstrom)
        undistorted = known = unphased = symmetrical = None
        if not optics.round:
            seen = places @ np.linalg.inv(optics.magnification_matrix).T
            undistorted = NonuniformTransform.at(disk.box, seen)
            known = torch.from_numpy((np.abs(seen) < disk.box / 2).all(axis=1))
        if any(optics.beam_tilt_mrad) or any(optics.odd_zernike):
            phase = torch.from_numpy(image_phase(optics, frequency))
            unphased = torch.polar(torch.ones_like(phase), -phase).to(torch.complex64)
        if any(optics.even_zernike):
            symmetrical = torch.from_numpy(even_zernike_phase(optics.even_zernike, frequency))
        return cls(undistorted, known, unphased, symmetrical, optics.phase_flipped)


@dataclass(frozen=True)
class Lenses:
    """Coefficients and CTFs of a stack's images on a disk, lens by lens."""

    stack: ParticleStack
    disk: FourierDisk
    lenses: tuple[_Lens, ...]

    @classmethod
    def of(cls, stack: ParticleStack, disk: FourierDisk) -> Lenses:
        return cls(stack, disk, tuple(_Lens.of(optics, disk) for optics in stack.optics))

    def coefficients(
        self, images: Float[Tensor, "b d d"], index: np.ndarray
    ) -> Complex[Tensor, "b k"]:
        """Of the images of the particles at `index` of the stack."""
        device = images.device
        found = torch.empty(len(images), len(self.disk), dtype=torch.complex64, device=device)
        for rows, lens in self._groups(index, device):
            if lens.undistorted is None:
                values = images_to_coefficients(images[rows], self.disk)
            else:  # sums by scipy
                values = lens.undistorted(images[rows].cpu()).to(device)
            found[rows] = values if lens.unphased is None else values * lens.unphased.to(device)
        return found

    def transfer(self, index: np.ndarray, device: torch.device = CPU) -> Float[Tensor, "b k"]:
        """The CTF, its modulus where images are phase-flipped; zero where a distorted image has
        no frequency to tell of."""
        found = torch.empty(len(index), len(self.disk), device=device)
        of_all = self.stack.ctf.select(torch.as_tensor(index)).to(device)
        for rows, lens in self._groups(index, device):
            symmetrical = None if lens.symmetrical is None else lens.symmetrical.to(device)
            pixel_size = self.stack.pixel_size_angstrom
            values = contrast_transfer(of_all.select(rows), self.disk, pixel_size, symmetrical)
            values = values.abs().float() if lens.flipped else values.float()
            found[rows] = values if lens.known is None else values * lens.known.to(device)
        return found

    def _groups(
        self, index: np.ndarray, device: torch.device
    ) -> list[tuple[Tensor | slice, _Lens]]:
        """The rows of each lens; those of a single one are taken without a copy."""
        group = self.stack.optics_group[index]
        numbers = np.unique(group)
        if len(numbers) == 1:
            return [(slice(None), self.lenses[numbers[0]])]
        return [
            (torch.from_numpy(np.flatnonzero(group == g)).to(device), self.lenses[g])
            for g in numbers
        ]
