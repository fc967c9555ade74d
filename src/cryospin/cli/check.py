"""`cryospin check`: are these particles fit to be reconstructed? Told before any compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.errors import BadDataError
from cryospin.threads import configure_threads


def check(
    particles: Annotated[Path, Argument(help="RELION .star or cryoSPARC .cs of particles.")],
    images: Annotated[
        bool, Option("--images/--table-only", help="Also read every image, once.")
    ] = True,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """Audit a particle table and its images; exit code 3 names what is wrong, where and the fix.

    Exit code 0: reconstruct would take them, with the warnings that are printed.
    """
    cores = configure_threads(threads)
    from cryospin.particles.check import check as findings_of

    with progress_display() as progress:
        found = findings_of(
            particles,
            images=images,
            cores=cores,
            progress=lambda done, total: progress("read images", done, total),
        )
    if as_json:
        print(json.dumps(found, indent=2))
    if not found["ok"]:
        why = {name: found[name] for name in ("problem", "file", "row", "column", "fix")}
        raise BadDataError(**why)
    if not as_json:
        print_findings(particles, found, images)


def print_findings(path: Path, found: dict[str, Any], images: bool) -> None:
    """The findings as a table for a reader, warnings last."""
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    rows = table_rows(found) | (image_rows(found) if images else {})
    for label, value in rows.items():
        table.add_row(f"[bold]{label}[/bold]", value)
    console = Console()
    console.print(
        f"[green]{path} is fit to be reconstructed[/green]", highlight=False, soft_wrap=True
    )
    console.print(table)
    for warning in found["warnings"]:
        console.print(f"[yellow]warning: {warning}[/yellow]", highlight=False, soft_wrap=True)
    if not images:
        console.print("[yellow]The images themselves were not read.[/yellow]")


def table_rows(found: dict[str, Any]) -> dict[str, str]:
    defocus, plan, micrographs = found["defocus_angstrom"], found["plan"], found["micrographs"]
    rows = {
        "particles": f"{found['particles']:,} in {found['image_stacks']:,} stack(s)",
        "box": f"{found['box']} px of {found['pixel_size_angstrom']:.4g} Å"
        f" = {found['box_angstrom']:.0f} Å",
        "pixels": ", ".join(dict.fromkeys(file["number_format"] for file in found["files"])),
        "micrographs": "not named" if micrographs is None else f"{micrographs:,}",
        "coordinates": coordinates_in_words(found["coordinates"]),
        "defocus": f"{defocus['min']:,.0f} to {defocus['max']:,.0f} Å"
        f" (median {defocus['median']:,.0f} Å)",
    }
    for group in found["optics_groups"]:
        rows[f"optics {group['name']}"] = (
            f"{group['particles']:,} particles, {group['voltage_kv']:g} kV, "
            f"Cs {group['spherical_aberration_mm']:g} mm, "
            f"amplitude contrast {group['amplitude_contrast']:g}"
            + "".join(f", {words}" for words in aberrations_in_words(group))
        )
    carried = [
        word
        for word, there in (("poses", "has_poses"), ("half-sets", "has_half_sets"))
        if found[there]
    ]
    rows["carries"] = ", ".join(carried) if carried else "no poses yet"
    rows["plan"] = (
        f"about {plan['memory_bytes'] / 1e9:.1f} GB of memory and "
        f"{max(1, round(plan['seconds'] / 60))} min on {plan['cores']} core(s)"
    )
    if card := found["card"]:
        rows["card"] = (
            f"{card['told']}: {card['bytes'] / 2**30:.1f} of {card['free_bytes'] / 2**30:.1f} GiB "
            f"free; {card['fitting']:,} such images would fit"
        )
    return rows


def aberrations_in_words(group: dict[str, Any]) -> list[str]:
    """What an optics group has of aberrations, all of which a run undoes."""
    x, y = group["beam_tilt_mrad"]
    matrix = group["magnification_matrix"]
    found = {
        "phases flipped": group["phase_flipped"],
        f"beam tilt {x:g}, {y:g} mrad": x or y,
        "odd aberrations": any(group["odd_zernike"]),
        "even aberrations": any(group["even_zernike"]),
        "magnification " + " ".join(f"{entry:g}" for entry in matrix): matrix != (1, 0, 0, 1),
    }
    return [words for words, there in found.items() if there]


def coordinates_in_words(found: dict[str, Any] | None) -> str:
    if found is None:
        return "none"
    sizes = ", ".join(f"{size:.4g}" for size in found["pixel_sizes_angstrom"])
    assumed = " (assumed)" if found["pixel_size_assumed"] else ""
    return f"of {found['particles']:,} particles, in micrograph pixels of {sizes} Å{assumed}"


def image_rows(found: dict[str, Any]) -> dict[str, str]:
    bad, fit, contrast = found["bad_images"], found["ctf_fit"], found["contrast"]
    by_reason = (f"{count} {reason}" for reason, count in bad["by_reason"].items() if count)
    mean, deviation = found["background_mean"], found["background_deviation"]
    diameter = found["particle_diameter_angstrom"]
    flipped = {None: "", False: ", not phase-flipped", True: ", phase-flipped"}
    return {
        "bad images": "; ".join(by_reason) or "none",
        "background": f"mean {mean['median'] or 0:.3g}, deviation {deviation['median'] or 0:.3g}",
        "CTF": f"{fit['verdict']} by the Thon rings (correlation {fit['correlation']:.2f}"
        f" to {fit['finest_angstrom']:.0f} Å){flipped[fit['phase_flipped']]}",
        "particle": "of unknown size" if diameter is None else f"about {diameter:.0f} Å across",
        "protein": f"{contrast['protein']} (discs of the mean image at "
        + ", ".join(f"{sigma:.0f}" for sigma in contrast["sigmas"])
        + " standard errors)",
    }
