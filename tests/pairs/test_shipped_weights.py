"""The weights that come with the program, on molecules nobody has seen."""

from __future__ import annotations

import pytest
import safetensors
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.pairs.common_lines import CommonLineSolver
from cryospin.pairs.learned import WEIGHTS_VARIABLE, LearnedSolver, weights_file
from cryospin.pairs.lines import MARGIN
from cryospin.pairs.network import PairNetworkShape
from cryospin.pairs.synthetic import synthetic_particles
from cryospin.pairs.weights import load_network
from cryospin.particles.draws import generator_for
from cryospin.rotations.align import align_rotations
from cryospin.rotations.sampling import random_rotations
from cryospin.simulate.molecule import chain_molecule
from cryospin.volumes.gridded import map_to_volume

BOX, IMAGES = 64, 150


@pytest.fixture(autouse=True)
def no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)


def test_they_are_small_and_say_how_they_were_made() -> None:
    path = weights_file()
    assert path.stat().st_size < 10e6
    assert load_network(path).shape == PairNetworkShape()
    with safetensors.safe_open(path, framework="pt") as file:
        assert file.metadata()["command"].startswith("cryospin pairs train --steps 10000")
        assert file.metadata()["models"] == ""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_noisy_images_are_placed_better_than_by_common_lines(seed: int) -> None:
    """Both by the same votes and synchronisation; the molecule is in no training set, whose
    seeds are drawn from 2^31."""
    density = chain_molecule(seed, domains=5, residues_per_domain=200).voxelize(32, 6.0)
    shape = PairNetworkShape()
    disk = FourierDisk.of(BOX, shape.last_radius + MARGIN)
    rng = generator_for(seed, "held out")
    made = synthetic_particles(
        map_to_volume(torch.from_numpy(density), BOX, disk.radius),
        random_rotations(IMAGES, rng),
        disk,
        pixel_size_angstrom=3.0,
        rng=rng,
        snr=0.15,
    )
    errors = {}
    for name, solver in (("lines", CommonLineSolver()), ("learned", LearnedSolver())):
        found = solver.run(made.particles, made.power, 0.0)
        errors[name] = float(align_rotations(found.rotations, made.rotations).errors_degrees.mean())
    assert errors["learned"] < errors["lines"]
    assert errors["learned"] < 15.0
