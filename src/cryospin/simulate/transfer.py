"""Contrast transfer for simulated particles: none, drawn or from a table; and its application."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.ctf import contrast_transfer
from cryospin.errors import BadDataError, UsageError
from cryospin.fourier.disk import FourierDisk
from cryospin.io.formats import read_particles_of_any_kind
from cryospin.io.losses import not_in_the_ctf
from cryospin.optics import CtfParameters
from cryospin.particles.draws import generator_for

# Defocus spreads a particle beyond its box, and what leaves it is lost, as in a real
# extraction; in a box without margin it would come in again on the other side.
PADDING = 2


def neutral_ctf(particles: int) -> CtfParameters:
    """CTF = 1 at every frequency: no defocus, no aberration, pure amplitude contrast."""
    zero = torch.zeros(particles, dtype=torch.float64)
    return CtfParameters(zero, zero, zero, zero, zero + 300.0, zero, zero + 1.0)


def draw_ctf(particles: int, seed: int) -> CtfParameters:
    """Draw CTF parameters: 300 kV, Cs 2.7 mm, 10 % amplitude contrast, defocus 1 to 3 um.

    The mean defocus is uniform. U - V is uniform in 0 to 400 Angstrom at any angle, as on a
    well-aligned microscope.

    Parameters
    ----------
    particles : int
        Their number.
    seed : int
        Particle i has the same CTF, whatever the number of particles.

    Returns
    -------
    CtfParameters
        One set per particle.
    """
    uniform = np.stack([generator_for(seed, "ctf", i).random(3) for i in range(particles)])
    mean = 1e4 + 2e4 * uniform[:, 0]
    half_difference = 200.0 * uniform[:, 1]
    columns = np.zeros((particles, 7))
    columns[:, 0] = mean + half_difference
    columns[:, 1] = mean - half_difference
    columns[:, 2] = 180.0 * uniform[:, 2] - 90.0
    columns[:, 4:] = 300.0, 2.7, 0.1
    return CtfParameters(*torch.from_numpy(columns.T.copy()))


def ctf_from_table(
    path: Path,
    particles: int,
    seed: int,
    tell: Callable[[str], None] = lambda sentence: None,
) -> CtfParameters:
    """Rows of a table of real particles, drawn with replacement.

    Tables: a RELION STAR file, a cryoSPARC .cs, or an .npz whose array `ctf` has the columns
    box (px), pixel size (A), defocus U (A), V (A), angle (degrees), kV, Cs (mm), amplitude
    contrast, phase shift (degrees), cryoDRGN's. Box and pixel size are not used.
    `tell` is told in a sentence what else the table says and images will not have.

    Raises
    ------
    UsageError: no such file. BadDataError: not such a table.
    """
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    if path.suffix in (".star", ".cs"):
        stack = read_particles_of_any_kind(path)
        if left_out := not_in_the_ctf(stack):
            tell(f"not simulated: {', '.join(left_out)}; images get the CTF of defocus and Cs")
        source = stack.ctf
    else:
        source = _read_npz(path)
    rows = [int(generator_for(seed, "ctf", i).integers(len(source))) for i in range(particles)]
    return source.select(torch.tensor(rows))


def _read_npz(path: Path) -> CtfParameters:
    fix = "give a RELION .star, a .cs, or an .npz with an array `ctf` of nine columns"
    try:
        with np.load(path, allow_pickle=False) as archive:
            table = np.asarray(archive["ctf"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BadDataError("no table of CTF parameters", file=path, fix=fix) from error
    if table.ndim != 2 or table.shape[1] != 9 or len(table) == 0:
        raise BadDataError(f"array `ctf` of shape {table.shape}", file=path, fix=fix)
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0]) + 1
        raise BadDataError("not a number", file=path, row=row, fix="leave the row out")
    columns = table[:, [2, 3, 4, 8, 5, 6, 7]].T.copy()
    return CtfParameters(*torch.from_numpy(columns))


def apply_ctf(
    images: Float[Tensor, "b d d"], ctf: CtfParameters, pixel_size_angstrom: float
) -> Float[Tensor, "b d d"]:
    """Images as the microscope transfers them, every frequency of the padded box included."""
    box = images.shape[-1]
    padded = PADDING * box
    frequencies = _all_frequencies(padded)
    transfer = contrast_transfer(ctf, frequencies, pixel_size_angstrom).to(images.dtype)
    margin = (padded - box) // 2
    spectrum = torch.fft.rfft2(torch.nn.functional.pad(images, [margin] * 4))
    spectrum *= transfer.reshape(len(images), padded, padded // 2 + 1)
    window = slice(margin, margin + box)
    return torch.fft.irfft2(spectrum, s=(padded, padded))[:, window, window]


def _all_frequencies(box: int) -> FourierDisk:
    """The layout of rfft2, corners and Nyquist included, as the frequencies of a disk."""
    half = box // 2
    ky, kx = np.meshgrid(np.r_[0:half, -half:0], np.r_[0 : half + 1], indexing="ij")
    return FourierDisk(box, float(half), kx.ravel(), ky.ravel())
