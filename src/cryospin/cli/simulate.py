"""`cryospin simulate`: a particle stack with known poses from an atomic model or a map."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.threads import configure_threads

if TYPE_CHECKING:
    from cryospin.types import CtfParameters


class ViewChoice(StrEnum):
    uniform = "uniform"
    equator = "equator"
    pole = "pole"


class NoiseChoice(StrEnum):
    white = "white"
    coloured = "coloured"


def simulate(
    model: Annotated[Path, Argument(help="PDB, mmCIF or MRC map, each optionally .gz.")],
    out: Annotated[Path, Option(help="Folder to write into.")],
    particles: Annotated[int, Option(min=1, help="Number of images.")],
    box: Annotated[int, Option(min=16, help="Image size in pixels, even.")],
    pixel_size: Annotated[float, Option(min=0.1, help="Angstrom per pixel.")],
    snr: Annotated[
        float, Option(min=1e-6, help="Signal over noise variance, full box, after CTF.")
    ],
    max_shift: Annotated[float, Option(min=0.0, help="Largest shift in x and y, pixels.")] = 0.0,
    ctf_from: Annotated[
        str,
        Option(help="'none', 'drawn' (1-3 um) or a table (.star, .cs, .npz) with CTFs."),
    ] = "drawn",
    seed: Annotated[int, Option(help="Same seed, same images.")] = 0,
    views: Annotated[
        ViewChoice,
        Option(help="90 % within 20 degrees of the equator, or within 25 of the pole."),
    ] = ViewChoice.uniform,
    noise: Annotated[NoiseChoice, Option(help="Spectrum of the noise.")] = NoiseChoice.white,
    noise_exponent: Annotated[
        float, Option(help="Coloured noise falls off with this power of frequency.")
    ] = 2.0,
    assembly: Annotated[
        bool, Option("--assembly", help="Build biological assembly 1 of an atomic model.")
    ] = False,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """Simulate particle images with known poses, from an atomic model or a map.

    Writes particles.star, particles.mrcs, truth.star (with the poses) and truth.mrc.
    """
    count = configure_threads(threads)
    from cryospin.simulate.dataset import Microscope
    from cryospin.simulate.dataset import simulate as write_dataset
    from cryospin.simulate.models import read_model
    from cryospin.simulate.poses import draw_poses

    molecule = read_model(model, pixel_size, assembly=assembly)
    ctf = _ctf(ctf_from, particles, seed)
    poses = draw_poses(
        particles,
        max_shift_pixel=max_shift,
        pixel_size_angstrom=pixel_size,
        views=views.value,
        seed=seed,
    )
    inputs = (model, *(() if ctf_from in ("none", "drawn") else (Path(ctf_from),)))
    exponent = noise_exponent if noise is NoiseChoice.coloured else 0.0
    microscope = Microscope(box, pixel_size, snr, ctf, exponent, seed)
    with progress_display() as progress:
        result = write_dataset(
            molecule, poses, microscope, out, threads=count, progress=progress, inputs=inputs
        )
    for warning in result.warnings:
        print(f"warning: {warning}")
    print(f"{result.particles}: {particles} particles of {box} x {box} at {pixel_size:g} Angstrom")
    print(f"{_ratio(snr)} in the box, {_ratio(result.snr_in_particle)} in the particle")


def _ctf(source: str, particles: int, seed: int) -> CtfParameters:
    from cryospin.simulate.transfer import ctf_from_table, draw_ctf, neutral_ctf

    if source == "none":
        return neutral_ctf(particles)
    if source == "drawn":
        return draw_ctf(particles, seed)
    return ctf_from_table(
        Path(source), particles, seed, lambda sentence: print(f"note: {sentence}")
    )


def _ratio(snr: float) -> str:
    from math import log10

    return f"SNR {snr:.3g} ({10 * log10(snr):.1f} dB)"
