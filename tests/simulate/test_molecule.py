from __future__ import annotations

import numpy as np

from cryospin.simulate.molecule import chain_molecule


def test_same_seed_same_molecule_other_seed_another() -> None:
    first, again, other = chain_molecule(3), chain_molecule(3), chain_molecule(4)
    assert np.array_equal(first.positions_angstrom, again.positions_angstrom)
    assert not np.allclose(first.positions_angstrom, other.positions_angstrom)


def test_as_large_as_a_protein_of_its_size_and_centred() -> None:
    for seed in range(8):
        molecule = chain_molecule(seed)
        assert len(molecule) == 1500
        assert 35.0 < molecule.radius_angstrom < 110.0
        assert np.allclose(molecule.weights @ molecule.positions_angstrom, 0.0, atol=1e-6)


def test_no_axis_of_symmetry() -> None:
    """Three distinct moments of inertia: no rotation axis of order above two."""
    for seed in range(8):
        positions = chain_molecule(seed).positions_angstrom
        moments = np.linalg.eigvalsh(positions.T @ positions)
        assert moments[1] > 1.05 * moments[0] and moments[2] > 1.05 * moments[1]
