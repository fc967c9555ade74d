"""Molecules to learn from: made up in all sizes, and atomic models where some are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from cryospin.particles.draws import generator_for
from cryospin.simulate.models import ATOMIC, Molecule, read_model
from cryospin.simulate.molecule import chain_molecule

GRID = 32


def training_densities(
    made_up: int,
    models: tuple[Path, ...],
    seed: int,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Float[Tensor, "g g g"]]:
    """Densities on 32 voxels across; each molecule's radius is 0.26 to 0.36 of that.

    Made-up ones have 1 to 8 domains of 80 to 300 residues; atomic models come in three sizes.
    """
    found = []
    total = made_up + 3 * len(models)
    for number in range(made_up):
        rng = generator_for(seed, "made-up molecule", number)
        domains, residues = int(rng.integers(1, 9)), int(rng.integers(80, 301))
        drawn = int(rng.integers(2**31))
        molecule = chain_molecule(drawn, domains=domains, residues_per_domain=residues)
        found.append(_density(molecule, float(rng.uniform(0.26, 0.36))))
        tell(len(found), total)
    for path in models:
        molecule_of_file = read_model(path, 4.0)
        for filled in (0.28, 0.31, 0.34):
            found.append(_density(molecule_of_file, filled))
            tell(len(found), total)
    return found


def models_in(folder: Path, without: tuple[str, ...]) -> tuple[Path, ...]:
    """Atomic models of a folder, but for those of these names (in any case, without suffixes)."""
    unwanted = {name.lower() for name in without}
    return tuple(
        path
        for path in sorted(folder.iterdir())
        if path.name.lower().removesuffix(".gz").rpartition(".")[0] not in unwanted
        and Path(path.name.lower().removesuffix(".gz")).suffix in ATOMIC
    )


def _density(molecule: Molecule, filled: float) -> Float[Tensor, "g g g"]:
    pixel = molecule.radius_angstrom / (filled * GRID)
    return torch.from_numpy(molecule.voxelize(GRID, pixel))
