"""`cryospin bench pairs`: orientations from pairs of images, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from cryospin.errors import UsageError
from cryospin.threads import configure_threads


def pairs(
    models: Annotated[
        Path, Option(help="Folder of PDB or mmCIF files; missing ones are downloaded.")
    ],
    out: Annotated[Path, Option(help="Folder to write into; continue a benchmark there.")],
    weights: Annotated[
        str,
        Option(
            help="FILE,... of `cryospin pairs train`, each a method named by its file; "
            "default: those of recipe pairwise."
        ),
    ] = "",
    structures: Annotated[
        str | None, Option(help="NAME[:SYMMETRY],...; default: ten. The first is the one varied.")
    ] = None,
    parts: Annotated[
        str | None,
        Option(help="Of planted,unseen,noise,ctf,shifts,views,boxes,starts,twin; default: all."),
    ] = None,
    seeds: Annotated[str, Option(help="1,2,...")] = "1,2,3",
    particles: Annotated[int, Option(min=50, help="Images whose pairs are compared.")] = 500,
    box: Annotated[int, Option(min=32)] = 64,
    snrs: Annotated[str, Option(help="In the particle, of part noise.")] = "0.1,0.25,0.5,1,2",
    planted: Annotated[int, Option(min=50, help="Images of part planted.")] = 1000,
    start_particles: Annotated[int, Option(min=200, help="Images of part starts.")] = 3000,
    twin_steps: Annotated[int, Option(min=1, help="Training steps of part twin.")] = 6000,
    threads: Annotated[int | None, Option(help="Default: all cores available.")] = None,
) -> None:
    """Common lines, votes and learned relations on held-out molecules; what a start is worth.

    Rows that are measured are not measured again: pairs.jsonl in the folder has them.
    """
    configure_threads(threads)
    from cryospin.bench.pairs import HELD_OUT, PARTS, PairPlan, compare_pairs
    from cryospin.bench.structures import Structure
    from cryospin.cli.bench import _command, _listed, _say
    from cryospin.pairs.learned import weights_file
    from cryospin.pairs.weights import load_network

    files = tuple(Path(name) for name in _listed(weights)) or (weights_file(),)
    for file in files:
        load_network(file)  # complaints come before the first hour is spent
    try:
        levels = tuple(float(word) for word in _listed(snrs))
        numbers = tuple(int(word) for word in _listed(seeds))
    except ValueError as error:
        raise UsageError(f"{error}\n  fix: --seeds 1,2 and --snrs 0.1,0.5") from error
    plan = PairPlan(
        tuple(Structure.parse(text) for text in _listed(structures) or HELD_OUT),
        files,
        _listed(parts) or PARTS,
        numbers or (1,),
        particles,
        box,
        levels or (0.5,),
        planted,
        start_particles,
        twin_steps,
    )
    for path in compare_pairs(plan, models, out, _command(), _say):
        print(path)
