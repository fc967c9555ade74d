"""A particle stack with known poses, streamed to disk.

Every random number is a function of (seed, particle index), and particles are computed in
blocks of a fixed size, so neither threads nor memory limits change a single bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cryospin.errors import UsageError
from cryospin.io.mrc import StackWriter
from cryospin.io.outputs import Outputs, claimed
from cryospin.io.truth import TRUE_MAP
from cryospin.optics import CtfParameters
from cryospin.parallel import in_blocks, single_threaded_torch
from cryospin.simulate.junk import junk_image
from cryospin.simulate.mixture import Mixture
from cryospin.simulate.models import Molecule
from cryospin.simulate.noise import draw_noise
from cryospin.simulate.transfer import apply_ctf
from cryospin.simulate.truth import Truth, map_names, write_truth
from cryospin.types import Poses

BLOCK = 32
_TABLES = ("particles.star", "truth.star")
DATASET = Outputs((*_TABLES, "particles.mrcs", TRUE_MAP))
"""What `simulate` writes into its folder, of one structure."""

Progress = Callable[[str, int, int], None]
"""Called with the step's name, particles done and particles in all."""

Work = Callable[[np.ndarray], tuple[np.ndarray, ...]]
"""From the indices of a block of particles to arrays with a row for each."""


@dataclass(frozen=True)
class Microscope:
    """How images are made once the poses are known.

    Parameters
    ----------
    box : int
        Image size in pixels, even.
    pixel_size_angstrom : float
        Of the images.
    snr : float
        Variance of the noiseless images after the CTF (in the full box, the mean of each image's
        own, without junk) over the variance of the noise. Infinity means no noise.
    ctf : CtfParameters
        Of each particle.
    noise_exponent : float
        0 is white; else see `noise.noise_power`.
    seed : int
        Of the noise.
    """

    box: int
    pixel_size_angstrom: float
    snr: float
    ctf: CtfParameters
    noise_exponent: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Simulated:
    """The table that was written, and the noise its images got.

    snr_in_particle: signal variance within the disc of the molecule's radius about the
        particle, over that of the noise; larger than the SNR of the full box.
    """

    particles: Path
    noise_sigma: float
    snr_in_particle: float
    warnings: tuple[str, ...]


def needed_bytes(box: int, count: int, structures: int = 1) -> int:
    """Disk that `simulate` takes, the noiseless images in waiting among it."""
    return 4 * box**2 * (2 * count + structures * box)


def simulate(
    molecule: Molecule | Mixture,
    poses: Poses,
    microscope: Microscope,
    out: Path,
    *,
    threads: int = 1,
    progress: Progress | None = None,
    inputs: Sequence[Path] = (),
) -> Simulated:
    """Simulate particles: write particles.mrcs, truth.mrc, truth.star and particles.star.

    Of several structures (`draw_mixture`) each has its own true map, and truth.star has the class
    of each particle.

    The noiseless images wait in an unnamed file of the same folder until their variance, and so
    that of the noise, is known.

    Parameters
    ----------
    molecule : GaussianMolecule, MapMolecule or Mixture
        From `read_model`, `chain_molecule` or `draw_mixture`.
    poses : Poses
        One per particle.
    microscope : Microscope
        Box, pixel size, CTF and noise.
    out : Path
        The folder. It is made if it is not there.
    threads : int
        They change the time, not the result.
    progress : callable, optional
        Called with the name of a step, the number of particles done, and their total number.
    inputs : sequence of Path
        Files that the molecule came from. They must not lie in `out`.

    Returns
    -------
    Simulated
        The table that was written, and how much noise its images have.

    Raises
    ------
    UsageError
        The box is odd or too small for the molecule; the folder has an input, or files of these
        names from another program, or is in use.
    ResourceError
        The disk cannot take the files.
    """
    mixture = molecule if isinstance(molecule, Mixture) else _one_structure(molecule, len(poses))
    warnings = _check_fit(mixture, poses, microscope)
    tell = progress or (lambda step, done, total: None)
    outputs = Outputs((*_TABLES, "particles.mrcs", *map_names(mixture)))
    needed = needed_bytes(microscope.box, len(poses), len(mixture.molecules))
    with claimed(out, outputs, inputs, needed):
        sigma, snr_in_particle = _write(mixture, poses, microscope, out, threads, tell)
    return Simulated(out / "particles.star", sigma, snr_in_particle, warnings)


def _one_structure(molecule: Molecule, count: int) -> Mixture:
    return Mixture((molecule,), np.zeros(count, dtype=np.int64))


def _write(
    mixture: Mixture,
    poses: Poses,
    microscope: Microscope,
    out: Path,
    threads: int,
    tell: Progress,
) -> tuple[float, float]:
    """The noise's standard deviation, and the SNR in the particle."""
    box, count = microscope.box, len(poses)
    # the table of an earlier run must not stand beside a stack that is not its own
    for name in _TABLES:
        (out / name).unlink(missing_ok=True)
    stack = StackWriter(out / "particles.mrcs", box, microscope.pixel_size_angstrom, count)
    with stack, tempfile.TemporaryFile(dir=out) as noiseless, single_threaded_torch():
        variances = np.empty((0, 2))
        imaging = _filled_up(_imaging(mixture, poses, microscope), count)
        for images, found in in_blocks(imaging, count, BLOCK, threads):
            images.tofile(noiseless)
            variances = np.concatenate([variances, found])
            tell("images", len(variances), count)
        signal, signal_in_particle = variances[mixture.shown >= 0].mean(axis=0)
        sigma = np.sqrt(signal / microscope.snr)
        noiseless.seek(0)
        done = 0
        noising = _filled_up(_noise(microscope), count)
        for (noise,) in in_blocks(noising, count, BLOCK, threads):
            images = np.fromfile(noiseless, np.float32, noise.size).reshape(noise.shape)
            stack.append(images + np.float32(sigma) * noise)
            tell("noise", done := done + len(noise), count)
    pixel = microscope.pixel_size_angstrom
    write_truth(out, Truth(mixture, poses, microscope.ctf, box, pixel, microscope.seed))
    return float(sigma), float(microscope.snr * signal_in_particle / signal)


def _check_fit(mixture: Mixture, poses: Poses, microscope: Microscope) -> tuple[str, ...]:
    box, pixel = microscope.box, microscope.pixel_size_angstrom
    if box % 2 or box < 16:
        raise UsageError(f"--box must be even and at least 16, got {box}")
    radius = mixture.radius_angstrom
    if radius > 0.5 * box * pixel:
        raise UsageError(
            f"the molecule is {2 * radius:.0f} Angstrom wide, the box {box * pixel:.0f}: "
            f"use a pixel of {3 * radius / box:.2g} Angstrom or more, or a larger box"
        )
    farthest = float(poses.shifts_angstrom.abs().max())
    if radius + farthest > 0.5 * box * pixel:
        return ("shifts move parts of the molecule out of the box",)
    return ()


def _filled_up(work: Work, count: int) -> Callable[[slice], tuple[np.ndarray, ...]]:
    """`work` in blocks of one size, the last filled up with its last particle: batched
    transforms and products may round differently in a batch of another size."""

    def on(rows: slice) -> tuple[np.ndarray, ...]:
        index = np.minimum(np.arange(rows.start, rows.start + BLOCK), count - 1)
        return tuple(array[: rows.stop - rows.start] for array in work(index))

    return on


def _imaging(mixture: Mixture, poses: Poses, microscope: Microscope) -> Work:
    """Noiseless images (b, d, d), and their variances (b, 2) in the box and in the particle."""
    pixel, box = microscope.pixel_size_angstrom, microscope.box
    rotations = poses.rotations.numpy()
    shifts_pixel = poses.shifts_angstrom.numpy() / pixel
    axis = np.arange(box) - box // 2
    radius_pixel = np.array([each.radius_angstrom for each in mixture.molecules]) / pixel

    def work(index: np.ndarray) -> tuple[np.ndarray, ...]:
        shifts = shifts_pixel[index]
        shown = mixture.shown[index]
        projections = np.zeros((len(index), box, box), dtype=np.float32)
        for number in np.unique(shown[shown >= 0]).tolist():
            rows = shown == number
            molecule, turned = mixture.molecules[number], rotations[index[rows]]
            projections[rows] = molecule.project(turned, shifts[rows], box, pixel)
        ctf = microscope.ctf.select(torch.from_numpy(index))
        images = apply_ctf(torch.from_numpy(projections), ctf, pixel).numpy()
        for row in np.flatnonzero(shown < 0).tolist():
            images[row] = junk_image(
                mixture.molecules,
                ctf.select(slice(row, row + 1)),
                microscope.seed,
                int(index[row]),
                box,
                pixel,
            )
        x, y = (axis - shifts[:, i, None] for i in (0, 1))
        squared = y[:, :, None] ** 2 + x[:, None, :] ** 2
        inside = squared <= (radius_pixel[shown] ** 2)[:, None, None]
        in_particle = images.var(axis=(1, 2), dtype=np.float64, where=inside)
        in_box = images.var(axis=(1, 2), dtype=np.float64)
        return images, np.stack([in_box, in_particle], axis=1)

    return work


def _noise(microscope: Microscope) -> Work:
    def work(index: np.ndarray) -> tuple[np.ndarray, ...]:
        noise = draw_noise(
            microscope.seed, index, microscope.box, exponent=microscope.noise_exponent
        )
        return (noise.numpy(),)

    return work
