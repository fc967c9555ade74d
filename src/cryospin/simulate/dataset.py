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
from cryospin.io.mrc import StackWriter, write_map
from cryospin.io.outputs import Outputs, claimed
from cryospin.io.relion import write_new_particles
from cryospin.parallel import in_blocks, single_threaded_torch
from cryospin.simulate.models import Molecule
from cryospin.simulate.noise import draw_noise
from cryospin.simulate.transfer import apply_ctf
from cryospin.types import CtfParameters, DensityMap, Optics, Poses

BLOCK = 32
PARTICLES_PER_MICROGRAPH = 100
DATASET = Outputs(("particles.star", "truth.star", "particles.mrcs", "truth.mrc"))
"""What `simulate` writes into its folder."""

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
        own) over the variance of the noise. Infinity means no noise.
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


def needed_bytes(box: int, count: int) -> int:
    """Disk that `simulate` takes, the noiseless images in waiting among it."""
    return 4 * box**2 * (2 * count + box)


def simulate(
    molecule: Molecule,
    poses: Poses,
    microscope: Microscope,
    out: Path,
    *,
    threads: int = 1,
    progress: Progress | None = None,
    inputs: Sequence[Path] = (),
) -> Simulated:
    """Simulate particles: write particles.mrcs, truth.mrc, truth.star and particles.star.

    The noiseless images wait in an unnamed file of the same folder until their variance, and so
    that of the noise, is known.

    Parameters
    ----------
    molecule : GaussianMolecule or MapMolecule
        From `read_model` or `chain_molecule`.
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
    warnings = _check_fit(molecule, poses, microscope)
    tell = progress or (lambda step, done, total: None)
    with claimed(out, DATASET, inputs, needed_bytes(microscope.box, len(poses))):
        sigma, snr_in_particle = _write(molecule, poses, microscope, out, threads, tell)
    return Simulated(out / "particles.star", sigma, snr_in_particle, warnings)


def _write(
    molecule: Molecule,
    poses: Poses,
    microscope: Microscope,
    out: Path,
    threads: int,
    tell: Progress,
) -> tuple[float, float]:
    """The noise's standard deviation, and the SNR in the particle."""
    box, count = microscope.box, len(poses)
    # the table of an earlier run must not stand beside a stack that is not its own
    for name in ("particles.star", "truth.star"):
        (out / name).unlink(missing_ok=True)
    stack = StackWriter(out / "particles.mrcs", box, microscope.pixel_size_angstrom, count)
    with stack, tempfile.TemporaryFile(dir=out) as noiseless, single_threaded_torch():
        variances = np.empty((0, 2))
        imaging = _filled_up(_imaging(molecule, poses, microscope), count)
        for images, found in in_blocks(imaging, count, BLOCK, threads):
            images.tofile(noiseless)
            variances = np.concatenate([variances, found])
            tell("images", len(variances), count)
        signal, signal_in_particle = variances.mean(axis=0)
        sigma = np.sqrt(signal / microscope.snr)
        noiseless.seek(0)
        done = 0
        noising = _filled_up(_noise(microscope), count)
        for (noise,) in in_blocks(noising, count, BLOCK, threads):
            images = np.fromfile(noiseless, np.float32, noise.size).reshape(noise.shape)
            stack.append(images + np.float32(sigma) * noise)
            tell("noise", done := done + len(noise), count)
    _write_truth(out, molecule, poses, microscope)
    return float(sigma), float(microscope.snr * signal_in_particle / signal)


def _check_fit(molecule: Molecule, poses: Poses, microscope: Microscope) -> tuple[str, ...]:
    box, pixel = microscope.box, microscope.pixel_size_angstrom
    if box % 2 or box < 16:
        raise UsageError(f"--box must be even and at least 16, got {box}")
    radius = molecule.radius_angstrom
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


def _imaging(molecule: Molecule, poses: Poses, microscope: Microscope) -> Work:
    """Noiseless images (b, d, d), and their variances (b, 2) in the box and in the particle."""
    pixel, box = microscope.pixel_size_angstrom, microscope.box
    rotations = poses.rotations.numpy()
    shifts_pixel = poses.shifts_angstrom.numpy() / pixel
    axis = np.arange(box) - box // 2

    def work(index: np.ndarray) -> tuple[np.ndarray, ...]:
        shifts = shifts_pixel[index]
        projections = molecule.project(rotations[index], shifts, box, pixel)
        ctf = microscope.ctf.select(torch.from_numpy(index))
        images = apply_ctf(torch.from_numpy(projections), ctf, pixel).numpy()
        x, y = (axis - shifts[:, i, None] for i in (0, 1))
        squared = y[:, :, None] ** 2 + x[:, None, :] ** 2
        inside = squared <= (molecule.radius_angstrom / pixel) ** 2
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


def _write_truth(out: Path, molecule: Molecule, poses: Poses, microscope: Microscope) -> None:
    """The map and the tables; an optics group for each microscope found among the CTFs."""
    density = torch.from_numpy(molecule.voxelize(microscope.box, microscope.pixel_size_angstrom))
    write_map(out / "truth.mrc", DensityMap(density, microscope.pixel_size_angstrom))
    ctf = microscope.ctf
    settings = torch.stack(
        [ctf.voltage_kv, ctf.spherical_aberration_mm, ctf.amplitude_contrast], dim=1
    )
    distinct, group = torch.unique(settings, dim=0, return_inverse=True)
    optics = tuple(
        Optics(f"opticsGroup{number}", microscope.pixel_size_angstrom, *values)
        for number, values in enumerate(distinct.tolist(), start=1)
    )
    names = [f"{number:06d}@particles.mrcs" for number in range(1, len(poses) + 1)]
    micrographs = [
        f"simulated_{number // PARTICLES_PER_MICROGRAPH + 1:05d}.mrc"
        for number in range(len(poses))
    ]
    for name, known in (("truth.star", poses), ("particles.star", None)):
        write_new_particles(
            out / name, names, optics, microscope.box, group.numpy(), ctf, known, micrographs
        )
