"""Density maps as the molecule: projected by real-space interpolation along rays.

Cubic B-splines through the voxels (Unser 1999), summed over view z: again another way than
the Fourier slices of the reconstruction.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import mrcfile
import numba
import numpy as np

from cryospin.errors import BadDataError, UsageError
from cryospin.io.mrc import read_map
from cryospin.io.mrc_header import read_header
from cryospin.simulate.molecule import PROTEIN_DENSITY
from cryospin.simulate.projection import BLUR_PIXEL
from cryospin.types import DensityMap

# zeros around the map, so that the spline's response to its border dies out
MARGIN_VOXELS = 6


@dataclass(frozen=True)
class MapMolecule:
    """A map as cubic B-spline coefficients [z, y, x] of voxels of `voxel_size_angstrom`.

    centre: (x, y, z) in voxels of `coefficients`, lands on pixel d // 2 at shift zero.
    radius_angstrom: of the sphere about the centre that holds the molecule.
    """

    coefficients: np.ndarray
    voxel_size_angstrom: float
    centre: np.ndarray
    radius_angstrom: float

    def project(
        self, rotations: np.ndarray, shifts_pixel: np.ndarray, box: int, pixel_size_angstrom: float
    ) -> np.ndarray:
        """Projections (b, d, d) float32: sums of density over view z, a sample per pixel.

        `x_view = R x_object`, displaced by the shift (x, y) from pixel d // 2.
        """
        images = np.empty((len(rotations), box, box), dtype=np.float32)
        _project(
            self.coefficients,
            self.centre,
            pixel_size_angstrom / self.voxel_size_angstrom,
            np.ascontiguousarray(rotations, dtype=np.float64),
            np.ascontiguousarray(shifts_pixel, dtype=np.float64),
            images,
        )
        return images

    def voxelize(self, box: int, pixel_size_angstrom: float) -> np.ndarray:
        """Density at the voxels (d, d, d) float32; its sum over z is the projection at R = 1."""
        density = np.empty((box, box, box), dtype=np.float32)
        scale = pixel_size_angstrom / self.voxel_size_angstrom
        _voxelize(self.coefficients, self.centre, scale, density)
        return density

    def as_protein(self, pixel_size_angstrom: float) -> MapMolecule:
        """The same map in the units of atomic models, which a map's own are not.

        The densest tenth of what stands out of it gets the density of protein, times the volume of
        a pixel: a sum along a ray is then the mass that a pixel holds. Models of proteins, made
        into maps, keep their mass to a fifth.
        """
        values = self.coefficients
        dense = np.percentile(values[values > values.mean() + 2.0 * values.std()], 90.0)
        factor = PROTEIN_DENSITY * pixel_size_angstrom**3 / dense
        return replace(self, coefficients=values * np.float32(factor))


def read_map_molecule(path: Path, pixel_size_angstrom: float) -> MapMolecule:
    """A map (.mrc, .map, or either with .gz), see `map_molecule`.

    A map whose header tells no voxel size is taken to have voxels of the size of the pixels.

    Raises
    ------
    UsageError: no such file. BadDataError: no usable map.
    """
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    if path.suffix != ".gz" and any(read_header(path).voxel_size_angstrom):
        return map_molecule(read_map(path, pad_to_cube=True), pixel_size_angstrom, path)
    with tempfile.NamedTemporaryFile(suffix=".mrc") as copy:
        try:
            with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as source:
                shutil.copyfileobj(source, copy)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            problem, fix = f"cannot be unpacked ({error})", "copy the file again"
            raise BadDataError(problem, file=path, fix=fix) from error
        copy.flush()
        if not any(read_header(copy.name).voxel_size_angstrom):
            with mrcfile.open(copy.name, mode="r+", permissive=True) as file:
                file.voxel_size = pixel_size_angstrom
        return map_molecule(read_map(copy.name, pad_to_cube=True), pixel_size_angstrom, path)


def map_molecule(
    density: DensityMap, pixel_size_angstrom: float, source: Path | None = None
) -> MapMolecule:
    """The map, centred on the centre of mass of what stands out by two standard deviations.

    A map finer than the pixels is blurred to what they resolve: by a Gaussian of
    `BLUR_PIXEL` pixels less (in quadrature) as many of its own voxels.

    Raises BadDataError, which names `source`, for a flat map.
    """
    values = density.values.numpy().astype(np.float64)
    threshold = values.mean() + 2.0 * values.std()
    occupied = np.argwhere(values > threshold)
    if len(occupied) == 0:
        problem, fix = "the map is flat: no voxel stands out", "give a map of a molecule"
        raise BadDataError(problem, file=source, fix=fix)
    mass = values[tuple(occupied.T)]
    centre = mass @ occupied / mass.sum()
    distance = np.linalg.norm(occupied - centre, axis=1)
    order = np.argsort(distance)
    enclosed = np.cumsum(mass[order])
    radius = distance[order][np.searchsorted(enclosed, 0.99 * enclosed[-1])]
    voxel = density.pixel_size_angstrom
    blur_voxels = BLUR_PIXEL * np.sqrt(max((pixel_size_angstrom / voxel) ** 2 - 1.0, 0.0))
    margin = MARGIN_VOXELS + int(np.ceil(3.0 * blur_voxels))
    return MapMolecule(
        _spline_coefficients(np.pad(values, margin), blur_voxels),
        voxel,
        centre[::-1] + margin,
        float(radius * voxel),
    )


def _spline_coefficients(values: np.ndarray, blur_voxels: float) -> np.ndarray:
    """Of the cubic B-spline through the blurred values: one division in Fourier space."""
    spectrum = np.fft.rfftn(values)
    for axis, frequency in enumerate(
        [np.fft.fftfreq(values.shape[0]), np.fft.fftfreq(values.shape[1])]
        + [np.fft.rfftfreq(values.shape[2])]
    ):
        response = np.exp(-2.0 * (np.pi * blur_voxels * frequency) ** 2)
        # samples of the cubic B-spline: 1/6, 4/6, 1/6
        response /= (2.0 + np.cos(2.0 * np.pi * frequency)) / 3.0
        spectrum *= response.reshape([-1 if i == axis else 1 for i in range(3)])
    return np.fft.irfftn(spectrum, s=values.shape, axes=(0, 1, 2)).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _interpolate(coefficients: np.ndarray, x: float, y: float, z: float) -> float:
    """Cubic B-spline at a point in voxels; zero where its support leaves the array."""
    depth, height, width = coefficients.shape
    ix, iy, iz = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    if ix < 1 or iy < 1 or iz < 1 or ix > width - 3 or iy > height - 3 or iz > depth - 3:
        return 0.0
    wx0, wx1, wx2, wx3 = _cubic_weights(x - ix)
    wy = _cubic_weights(y - iy)
    wz = _cubic_weights(z - iz)
    total = 0.0
    for dz in range(4):
        plane = 0.0
        for dy in range(4):
            row = coefficients[iz - 1 + dz, iy - 1 + dy]
            line = wx0 * row[ix - 1] + wx1 * row[ix] + wx2 * row[ix + 1] + wx3 * row[ix + 2]
            plane += wy[dy] * line
        total += wz[dz] * plane
    return total


@numba.njit(cache=True, nogil=True)
def _cubic_weights(t: float) -> tuple[float, float, float, float]:
    """Cubic B-spline weights of the four voxels around a point at fraction t between two."""
    u = 1.0 - t
    return (
        u * u * u / 6.0,
        2.0 / 3.0 - 0.5 * t * t * (2.0 - t),
        2.0 / 3.0 - 0.5 * u * u * (2.0 - u),
        t * t * t / 6.0,
    )


@numba.njit(cache=True, nogil=True)
def _project(
    coefficients: np.ndarray,
    centre: np.ndarray,
    scale: float,
    rotations: np.ndarray,
    shifts: np.ndarray,
    images: np.ndarray,
) -> None:
    box = images.shape[-1]
    half = box // 2
    for i in range(len(images)):
        # from view pixels to voxels: the transpose of R, scaled
        back = rotations[i].T * scale
        for row in range(box):
            y = row - half - shifts[i, 1]
            for column in range(box):
                x = column - half - shifts[i, 0]
                total = 0.0
                # samples beyond the box's sphere would leave it in another view
                reach = half * half - x * x - y * y
                limit = int(np.sqrt(reach)) if reach > 0.0 else -1
                for z in range(-limit, limit + 1):
                    total += _interpolate(
                        coefficients,
                        back[0, 0] * x + back[0, 1] * y + back[0, 2] * z + centre[0],
                        back[1, 0] * x + back[1, 1] * y + back[1, 2] * z + centre[1],
                        back[2, 0] * x + back[2, 1] * y + back[2, 2] * z + centre[2],
                    )
                images[i, row, column] = total


@numba.njit(cache=True, nogil=True)
def _voxelize(
    coefficients: np.ndarray, centre: np.ndarray, scale: float, density: np.ndarray
) -> None:
    box = density.shape[-1]
    half = box // 2
    for k in range(box):
        for j in range(box):
            for i in range(box):
                x, y, z = i - half, j - half, k - half
                inside = x * x + y * y + z * z <= half * half
                density[k, j, i] = (
                    _interpolate(
                        coefficients,
                        scale * x + centre[0],
                        scale * y + centre[1],
                        scale * z + centre[2],
                    )
                    if inside
                    else 0.0
                )
