"""`cryospin check`: are these particles fit to be reconstructed? Told before any compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from cryospin.cli.progress import progress_display
from cryospin.errors import BadDataError

if TYPE_CHECKING:
    from cryospin.types import ParticleStack


def check(
    particles: Annotated[Path, Argument(help="A STAR file of particles.")],
    images: Annotated[
        bool, Option("--images/--table-only", help="Also read every image, once.")
    ] = True,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Audit a particle table and its images; exit code 3 names what is wrong, where and the fix."""
    from cryospin.io.relion import read_particles
    from cryospin.particles.audit import audit_images, audit_table

    try:
        stack = read_particles(particles)
        audit_table(stack)
        if images:
            with progress_display() as progress:
                audit_images(stack, lambda done, total: progress("reading images", done, total))
    except BadDataError as error:
        if as_json:
            print(json.dumps(refusal(error), indent=2))
        raise
    summary = summary_of(stack)
    if as_json:
        print(json.dumps({"ok": True, "images_read": images, **summary}, indent=2))
    else:
        print_summary(particles, summary, images)


def refusal(error: BadDataError) -> dict[str, Any]:
    return {
        "ok": False,
        "problem": error.problem,
        "file": None if error.file is None else str(error.file),
        "row": error.row,
        "column": error.column,
        "fix": error.fix,
    }


def summary_of(stack: ParticleStack) -> dict[str, Any]:
    """What the table says, in numbers one can compare with what one expects."""
    ctf = stack.ctf
    defocus = 0.5 * (ctf.defocus_u_angstrom + ctf.defocus_v_angstrom)
    return {
        "particles": len(stack),
        "box": stack.box,
        "pixel_size_angstrom": stack.pixel_size_angstrom,
        "box_angstrom": stack.box * stack.pixel_size_angstrom,
        "image_stacks": len(stack.files),
        "micrographs": None if stack.micrographs is None else len(set(stack.micrographs)),
        "optics_groups": [
            {
                "name": optics.name,
                "particles": int((stack.optics_group == number).sum()),
                "voltage_kv": optics.voltage_kv,
                "spherical_aberration_mm": optics.spherical_aberration_mm,
                "amplitude_contrast": optics.amplitude_contrast,
            }
            for number, optics in enumerate(stack.optics)
        ],
        "defocus_angstrom": {
            "min": float(defocus.min()),
            "median": float(defocus.median()),
            "max": float(defocus.max()),
        },
        "has_poses": stack.poses is not None,
        "has_half_sets": stack.half_set is not None,
    }


def print_summary(path: Path, summary: dict[str, Any], images: bool) -> None:
    """The summary as a table for a reader."""
    from rich.console import Console
    from rich.table import Table

    defocus = summary["defocus_angstrom"]
    micrographs = summary["micrographs"]
    rows = {
        "particles": f"{summary['particles']:,} in {summary['image_stacks']:,} stack(s)",
        "box": f"{summary['box']} px of {summary['pixel_size_angstrom']:.4g} Å"
        f" = {summary['box_angstrom']:.0f} Å",
        "micrographs": "not named" if micrographs is None else f"{micrographs:,}",
        "defocus": f"{defocus['min']:,.0f} to {defocus['max']:,.0f} Å"
        f" (median {defocus['median']:,.0f} Å)",
    }
    for group in summary["optics_groups"]:
        rows[f"optics {group['name']}"] = (
            f"{group['particles']:,} particles, {group['voltage_kv']:g} kV, "
            f"Cs {group['spherical_aberration_mm']:g} mm, "
            f"amplitude contrast {group['amplitude_contrast']:g}"
        )
    carried = [
        word
        for word, there in (("poses", "has_poses"), ("half-sets", "has_half_sets"))
        if summary[there]
    ]
    rows["carries"] = ", ".join(carried) if carried else "no poses yet"
    table = Table.grid(padding=(0, 2))
    for label, value in rows.items():
        table.add_row(f"[bold]{label}[/bold]", value)
    console = Console()
    console.print(
        f"[green]{path} is fit to be reconstructed[/green]", highlight=False, soft_wrap=True
    )
    console.print(table)
    if not images:
        console.print("[yellow]The images themselves were not read.[/yellow]")
