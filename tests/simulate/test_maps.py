"""Maps as molecules, held against the analytic projections of the Gaussians they show."""

from __future__ import annotations

import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import roma
import torch

from cryospin.errors import BadDataError, UsageError
from cryospin.io.mrc import write_map
from cryospin.simulate.maps import MapMolecule, map_molecule, read_map_molecule
from cryospin.simulate.molecule import chain_molecule
from cryospin.simulate.projection import GaussianMolecule
from cryospin.types import DensityMap

BOX, PIXEL = 32, 6.0
ROTATIONS = roma.rotvec_to_rotmat(
    torch.tensor([[0.0, 0.0, 0.0], [0.7, -1.1, 2.0], [2.5, 0.4, -0.3]], dtype=torch.float64)
).numpy()
SHIFTS = np.array([[0.0, 0.0], [1.4, -0.6], [-2.0, 0.3]])


@pytest.fixture(scope="module")
def gaussians() -> GaussianMolecule:
    chain = chain_molecule(2, domains=4, residues_per_domain=60)
    # wide enough that voxels sample it without aliasing: a tenth of the signal at Nyquist
    # would make any interpolation wrong by as much
    wide = np.full(len(chain), 8.0)
    return GaussianMolecule(chain.positions_angstrom, chain.weights, wide)


@pytest.fixture(scope="module")
def density(gaussians: GaussianMolecule) -> DensityMap:
    return DensityMap(torch.from_numpy(gaussians.voxelize(BOX, PIXEL)), PIXEL)


@pytest.fixture(scope="module")
def molecule(density: DensityMap) -> MapMolecule:
    return map_molecule(density, PIXEL)


def test_projects_as_the_gaussians_do(gaussians: GaussianMolecule, density: DensityMap) -> None:
    found = map_molecule(density, PIXEL)
    # the map's centre of mass, over a threshold, is a little beside the Gaussians'
    offset = (found.centre - found.coefficients.shape[0] // 2) * PIXEL
    moved = GaussianMolecule(
        gaussians.positions_angstrom - offset, gaussians.weights, gaussians.sigmas_angstrom
    )
    ours = found.project(ROTATIONS, SHIFTS, BOX, PIXEL)
    exact = moved.project(ROTATIONS, SHIFTS, BOX, PIXEL)
    # cubic interpolation of a band-limited map, and cubic voxels averaged along other axes
    assert np.abs(ours - exact).max() < 0.01 * exact.max()


def test_density_summed_over_z_is_the_projection(molecule: MapMolecule) -> None:
    image = molecule.project(ROTATIONS[:1], SHIFTS[:1], BOX, PIXEL)[0]
    density = molecule.voxelize(BOX, PIXEL).astype(np.float64)
    assert np.abs(density.sum(axis=0) - image).max() < 1e-5 * image.max()


def test_whole_pixel_shift_is_a_roll(molecule: MapMolecule) -> None:
    plain, shifted = molecule.project(
        np.repeat(ROTATIONS[1:2], 2, axis=0), np.array([[0.0, 0.0], [2.0, -1.0]]), BOX, PIXEL
    )
    assert np.abs(np.roll(plain, (-1, 2), axis=(0, 1)) - shifted).max() < 1e-5 * plain.max()


def test_interpolates_through_the_voxels(density: DensityMap) -> None:
    found = map_molecule(density, PIXEL)
    margin = (found.coefficients.shape[0] - BOX) // 2
    on_grid = MapMolecule(found.coefficients, PIXEL, np.full(3, margin + BOX / 2), 1.0)
    again = on_grid.voxelize(BOX, PIXEL)
    inside = np.linalg.norm(np.indices(again.shape) - BOX // 2, axis=0) <= BOX // 2
    expected = np.where(inside, density.values.numpy(), 0.0)
    assert np.abs(again - expected).max() < 1e-5 * expected.max()


def test_coarser_pixels_see_a_blurred_map(density: DensityMap, molecule: MapMolecule) -> None:
    coarse = map_molecule(density, 2 * PIXEL)
    image = coarse.project(ROTATIONS[1:2], SHIFTS[:1], BOX // 2, 2 * PIXEL)[0]
    fine = molecule.project(ROTATIONS[1:2], SHIFTS[:1], BOX, PIXEL)[0]
    # the sum over pixels and depth, times a sample's volume, is the mass at either size
    assert np.isclose(8 * image.sum(), fine.sum(), rtol=1e-3)


def test_read_from_disk_packed_or_not(tmp_path: Path, density: DensityMap) -> None:
    plain, packed = tmp_path / "map.mrc", tmp_path / "map.mrc.gz"
    write_map(plain, density)
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = read_map_molecule(plain, PIXEL), read_map_molecule(packed, PIXEL)
    assert np.array_equal(one.coefficients, other.coefficients)
    with pytest.raises(UsageError, match="no such file"):
        read_map_molecule(tmp_path / "missing.mrc", PIXEL)
    packed.write_bytes(packed.read_bytes()[:1000])
    with pytest.raises(BadDataError, match="map.mrc.gz"):
        read_map_molecule(packed, PIXEL)


def test_voxels_of_unknown_size_are_taken_for_pixels(tmp_path: Path, density: DensityMap) -> None:
    write_map(tmp_path / "map.mrc", density)
    with mrcfile.open(tmp_path / "map.mrc", mode="r+") as file:
        file.voxel_size = 0.0
    assert read_map_molecule(tmp_path / "map.mrc", PIXEL).voxel_size_angstrom == PIXEL


def test_flat_map_is_refused() -> None:
    with pytest.raises(BadDataError, match="flat"):
        map_molecule(DensityMap(torch.zeros(16, 16, 16), 2.0), 2.0)
