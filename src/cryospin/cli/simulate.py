"""`cryospin simulate`: a particle stack with known poses from atomic models or maps."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.threads import configure_threads

if TYPE_CHECKING:
    from cryospin.optics import CtfParameters


class ViewChoice(StrEnum):
    uniform = "uniform"
    equator = "equator"
    pole = "pole"
    cones = "cones"


class NoiseChoice(StrEnum):
    white = "white"
    coloured = "coloured"


def simulate(
    model: Annotated[
        list[Path],
        Argument(help="PDB, mmCIF or MRC map, each optionally .gz; several make a mixture."),
    ],
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
        Option(
            help="90 % within 20 degrees of the equator, or within 25 of the pole;"
            " or 80 % within 30 degrees of one of three directions (cones)."
        ),
    ] = ViewChoice.uniform,
    noise: Annotated[NoiseChoice, Option(help="Spectrum of the noise.")] = NoiseChoice.white,
    noise_exponent: Annotated[
        float, Option(help="Coloured noise falls off with this power of frequency.")
    ] = 2.0,
    assembly: Annotated[
        bool, Option("--assembly", help="Build biological assembly 1 of an atomic model.")
    ] = False,
    fractions: Annotated[
        str | None, Option(help="Of the structures, as in 0.6,0.3,0.1. Default: equal.")
    ] = None,
    remove: Annotated[
        list[str] | None,
        Option(
            metavar="PART",
            help="One more structure: the model without chains or residues, as in A,B:1-230."
            " May be given several times.",
        ),
    ] = None,
    hinge: Annotated[
        str | None,
        Option(metavar="PART", help="Conformations: chains or residues turned about their joint."),
    ] = None,
    hinge_steps: Annotated[int, Option(min=2, help="How many conformations.")] = 100,
    hinge_degrees: Annotated[float, Option(help="From each to the next.")] = 3.6,
    junk: Annotated[
        float, Option(min=0.0, max=0.95, help="Fraction of images that show none of them.")
    ] = 0.0,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """Simulate particle images with known poses, from atomic models or maps.

    Writes particles.star, particles.mrcs, truth.star (with the poses) and truth.mrc. Of several
    structures truth.star has their classes, and each has its own true map.
    """
    count = configure_threads(threads)
    from cryospin.simulate.dataset import Microscope
    from cryospin.simulate.dataset import simulate as write_dataset
    from cryospin.simulate.mixture import draw_mixture
    from cryospin.simulate.poses import draw_poses
    from cryospin.simulate.states import Hinge, read_structures

    turned = None if hinge is None else Hinge(hinge, hinge_steps, hinge_degrees)
    molecules = read_structures(
        model, pixel_size, assembly=assembly, remove=remove or (), hinge=turned
    )
    mixture = draw_mixture(
        molecules,
        particles,
        pixel_size,
        seed=seed,
        fractions=None if fractions is None else _numbers(fractions),
        junk=junk,
        angles_degrees=None if turned is None else turned.angles_degrees,
    )
    ctf = _ctf(ctf_from, particles, seed)
    poses = draw_poses(
        particles,
        max_shift_pixel=max_shift,
        pixel_size_angstrom=pixel_size,
        views=views.value,
        seed=seed,
    )
    inputs = (*model, *(() if ctf_from in ("none", "drawn") else (Path(ctf_from),)))
    exponent = noise_exponent if noise is NoiseChoice.coloured else 0.0
    microscope = Microscope(box, pixel_size, snr, ctf, exponent, seed)
    with progress_display() as progress:
        result = write_dataset(
            molecules[0] if mixture.plain else mixture,
            poses,
            microscope,
            out,
            threads=count,
            progress=progress,
            inputs=inputs,
        )
    for warning in result.warnings:
        print(f"warning: {warning}")
    print(f"{result.particles}: {particles} particles of {box} x {box} at {pixel_size:g} Angstrom")
    if not mixture.plain:
        print(mixture.in_words)
    print(f"{_ratio(snr)} in the box, {_ratio(result.snr_in_particle)} in the particle")


def _numbers(text: str) -> list[float]:
    from cryospin.errors import UsageError

    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        fix = "write numbers with commas between them, as in 0.6,0.3,0.1"
        raise UsageError(f"--fractions {text}: not all of it is numbers\n  fix: {fix}") from None


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
