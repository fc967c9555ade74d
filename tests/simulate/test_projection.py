"""Gaussian molecules: exact identities of projections, and agreement with a Fourier transform."""

from __future__ import annotations

import math

import numpy as np
import pytest
import roma
import torch

from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.projection import BLUR_PIXEL, GaussianMolecule

BOX, PIXEL = 32, 6.0
IDENTITY = np.eye(3)[None]
NO_SHIFT = np.zeros((1, 2))


@pytest.fixture(scope="module")
def molecule() -> GaussianMolecule:
    return chain_molecule(1, domains=4, residues_per_domain=80)


def random_rotations(count: int, seed: int = 0) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return roma.unitquat_to_rotmat(vectors / vectors.norm(dim=1, keepdim=True)).numpy()


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def test_one_gaussian_is_a_product_of_error_functions() -> None:
    at = np.array([[3.1, -7.4, 11.0]])
    one = GaussianMolecule(at, np.array([2.0]), np.array([4.0]))
    sigma = math.hypot(4.0 / PIXEL, BLUR_PIXEL)

    def masses(centre: float) -> np.ndarray:
        edges = [math.erf((i - 0.5 - centre) / (math.sqrt(2) * sigma)) for i in range(BOX + 1)]
        return 0.5 * np.diff(edges)

    x, y = (at[0, i] / PIXEL + BOX // 2 for i in (0, 1))
    expected = 2.0 * np.outer(masses(y), masses(x))
    # the Gaussian ends at 5 sigma
    assert relative_error(one.project(IDENTITY, NO_SHIFT, BOX, PIXEL)[0], expected) < 1e-6


def test_density_summed_over_z_is_the_projection(molecule: GaussianMolecule) -> None:
    image = molecule.project(IDENTITY, NO_SHIFT, BOX, PIXEL)[0]
    density = molecule.voxelize(BOX, PIXEL).astype(np.float64)
    # float32 on both sides, and the ends of the Gaussians along z
    assert relative_error(density.sum(axis=0), image) < 2e-6


def test_mass_is_conserved_in_every_view(molecule: GaussianMolecule) -> None:
    images = molecule.project(random_rotations(5), np.full((5, 2), 1.3), BOX, PIXEL)
    # 6e-7 of each Gaussian is cut off on either axis
    assert np.allclose(images.sum(axis=(1, 2)), molecule.weights.sum(), rtol=5e-6)


def test_rotating_the_molecule_is_rotating_the_view(molecule: GaussianMolecule) -> None:
    view, turn = random_rotations(2)
    turned = GaussianMolecule(
        molecule.positions_angstrom @ turn.T, molecule.weights, molecule.sigmas_angstrom
    )
    one = turned.project(view[None], NO_SHIFT, BOX, PIXEL)
    other = molecule.project((view @ turn)[None], NO_SHIFT, BOX, PIXEL)
    assert relative_error(one, other) < 1e-6


def test_shift_by_whole_pixels_is_a_roll(molecule: GaussianMolecule) -> None:
    rotation = random_rotations(1)
    plain = molecule.project(rotation, NO_SHIFT, BOX, PIXEL)[0]
    shifted = molecule.project(rotation, np.array([[3.0, -2.0]]), BOX, PIXEL)[0]
    assert relative_error(np.roll(plain, (-2, 3), axis=(0, 1)), shifted) < 1e-6


def test_half_turn_in_plane_is_a_reflection_through_the_centre(
    molecule: GaussianMolecule,
) -> None:
    rotation = random_rotations(1)
    half_turn = np.diag([-1.0, -1.0, 1.0])
    plain = molecule.project(rotation, NO_SHIFT, BOX, PIXEL)[0]
    turned = molecule.project(half_turn @ rotation, NO_SHIFT, BOX, PIXEL)[0]
    # pixel d // 2 is the centre, so the reflection leaves the first row and column alone
    assert relative_error(turned[1:, 1:], plain[:0:-1, :0:-1]) < 1e-6


def test_projection_is_the_central_slice_of_the_density(molecule: GaussianMolecule) -> None:
    """Against the density's transform, evaluated at the slice's frequencies without a grid."""
    rotation = random_rotations(1, seed=4)
    image = molecule.project(rotation, NO_SHIFT, BOX, PIXEL)[0].astype(np.float64)
    density = molecule.voxelize(BOX, PIXEL).astype(np.float64)
    axis = np.arange(BOX) - BOX // 2
    k = np.array([(kx, ky) for kx in range(0, 9) for ky in range(-8, 9)], dtype=float)
    z, y, x = (
        np.exp(-2j * np.pi * np.outer(q, axis) / BOX) for q in (k @ rotation[0, :2])[:, ::-1].T
    )
    slices = np.einsum("zyx,kz,ky,kx->k", density, z, y, x, optimize=True)
    kx, ky = (np.exp(-2j * np.pi * np.outer(k[:, i], axis) / BOX) for i in (0, 1))
    transform = np.einsum("yx,ky,kx->k", image, ky, kx, optimize=True)
    # voxels average over cubes along the molecule's axes, pixels over squares along the
    # view's: up to half of Nyquist that differs by 4e-4 to 1.1e-3 of the largest coefficient
    assert np.abs(slices - transform).max() < 2e-3 * np.abs(transform).max()


def test_molecule_beyond_the_box_is_cut_off_not_folded() -> None:
    far = GaussianMolecule(np.array([[500.0, 0.0, 0.0]]), np.ones(1), np.ones(1))
    assert not far.project(IDENTITY, NO_SHIFT, BOX, PIXEL).any()
    assert not far.voxelize(BOX, PIXEL).any()


def test_centred_puts_the_centre_of_mass_at_the_origin(molecule: GaussianMolecule) -> None:
    moved = GaussianMolecule(
        molecule.positions_angstrom + 7.0, molecule.weights, molecule.sigmas_angstrom
    ).centred()
    assert np.allclose(moved.weights @ moved.positions_angstrom, 0.0, atol=1e-6)
