"""`cryospin posterior`: how sure a run can be of one particle's pose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

if TYPE_CHECKING:
    from cryospin.evaluate.posterior import ParticlePosterior


def posterior(
    directory: Annotated[Path, Argument(help="Folder that `cryospin reconstruct` wrote.")],
    particle: Annotated[
        str, Option(help="Name (000012@stack.mrcs), or row of the run's particles.star from 1.")
    ],
    nside: Annotated[
        int, Option(min=2, max=64, help="HEALPix resolution: directions 59 / nside degrees apart.")
    ] = 12,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw a particle's log-posterior over view directions, and list its best poses."""
    from cryospin.evaluate.posterior import particle_posterior
    from cryospin.io.outputs import Outputs, begin_outputs
    from cryospin.report.posterior import draw_posterior

    found = particle_posterior(directory, particle, nside)
    side = round(len(found.near.log_posterior) ** 0.5)
    safe = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in found.uid)
    name = f"posterior_{safe}.png"
    begin_outputs(directory, Outputs((name,)))
    picture = draw_posterior(
        directory / name,
        f"{found.uid}, against {found.map_of} to {found.resolution_angstrom:.1f} Å",
        (found.sphere.directions.numpy(), found.sphere.log_posterior.numpy()),
        found.near.log_posterior.view(side, side).numpy(),
        found.near.spacing_degrees * (side - 1) / 2,
        found.pose.numpy(),
        found.mates.numpy(),
    )
    told = summary(found, picture)
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        print_posterior(told)


def summary(found: ParticlePosterior, picture: Path) -> dict[str, Any]:
    """What is printed, ready for JSON."""
    from cryospin.evaluate.posterior import angles_degrees

    entropy = found.sphere.entropy_nats
    return {
        "uid": found.uid,
        "row": found.row,
        "half": found.half,
        "map": found.map_of,
        "resolution_angstrom": found.resolution_angstrom,
        "picture": str(picture),
        "run": {
            "angles_degrees": angles_degrees(found.pose),
            "shift_pixel": found.pose_shift_pixel.tolist(),
            "log_posterior": found.pose_log,
        },
        "best": [
            {
                "angles_degrees": angles_degrees(rotation),
                "shift_pixel": shift.tolist(),
                "log_posterior": float(value),
            }
            for rotation, shift, value in zip(
                found.best.rotations, found.best.shifts_pixel, found.best_log, strict=True
            )
        ],
        "entropy_nats": entropy,
        "entropy_in_words": entropy_in_words(entropy, len(found.sphere.directions)),
    }


def entropy_in_words(entropy_nats: float, cells: int) -> str:
    """As the share of the sphere that an even posterior of this entropy would cover."""
    import math

    effective = math.exp(entropy_nats)
    share = f"as spread as {effective:.1f} of {cells} cells of the sphere"
    if effective < 1.5:
        return f"one view direction stands out ({share})"
    if effective < 8:
        return f"a few neighbouring or rival view directions ({share})"
    if effective < 0.1 * cells:
        return f"a broad posterior ({share})"
    return f"the image hardly tells its view direction ({share})"


def print_posterior(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    other = "" if told["map"] == f"half{told['half']}.mrc" else " (its own half's map is missing)"
    console.print(
        f"{told['uid']} (row {told['row']}, half-set {told['half']}) against {told['map']}{other} "
        f"to {told['resolution_angstrom']:.1f} A"
    )
    table = Table("pose", "rot, tilt, psi (degrees)", "shift (pixels)", "log-posterior (nats)")
    rows = [("the run's", told["run"])]
    rows += [(f"best {n}", pose) for n, pose in enumerate(told["best"], 1)]
    for label, pose in rows:
        angles = ", ".join(f"{angle:.1f}" for angle in pose["angles_degrees"])
        shift = ", ".join(f"{value:.2f}" for value in pose["shift_pixel"])
        table.add_row(label, angles, shift, f"{pose['log_posterior']:.2f}")
    console.print(table)
    console.print(told["entropy_in_words"])
    console.print(told["picture"], soft_wrap=True)
