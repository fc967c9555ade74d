"""RELION itself as the oracle of every convention: pose, shift, CTF sign, both dialects.

The particle is a sum of Gaussians, so that its map and its projections are known exactly and
neither RELION's interpolation nor ours decides.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.ctf import contrast_transfer
from cryospin.fourier.disk import (
    FourierDisk,
    coefficients_to_images,
    images_to_coefficients,
    shift_phases,
)
from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.io.conventions import euler_to_rotation
from cryospin.io.mrc import StackWriter, read_images, read_map, write_map
from cryospin.io.relion import read_particles, write_new_particles, write_particles
from cryospin.io.star import StarBlock, StarFile, read_star
from cryospin.io.star_writer import write_star
from cryospin.kernels import slice_volume
from cryospin.optics import CtfParameters, Optics
from cryospin.types import DensityMap, ParticleStack, Poses
from cryospin.volumes.gridded import map_to_volume

BOX, PIXEL, COUNT = 32, 3.0, 300
OPTICS = (Optics("first", PIXEL, 300.0, 2.7, 0.1), Optics("second", PIXEL, 200.0, 1.4, 0.07))

pytestmark = pytest.mark.skipif(
    not (shutil.which("relion_project") and shutil.which("relion_reconstruct")),
    reason="needs RELION on the PATH (Debian package relion)",
)


def blobs() -> tuple[torch.Tensor, torch.Tensor]:
    """Positions in pixels (xyz from the centre) and weights of an asymmetric particle."""
    generator = torch.Generator().manual_seed(3)
    positions = torch.randn(14, 3, generator=generator, dtype=torch.float64)
    positions *= 7.0 / positions.norm(dim=1).max()
    return positions, 0.5 + torch.rand(14, generator=generator, dtype=torch.float64)


def gaussian(positions: torch.Tensor) -> torch.Tensor:
    """exp(-(x - p)^2 / 2 sigma^2) at the pixels of one axis, sigma 1.2 pixels: (*n, box)."""
    axis = torch.arange(BOX, dtype=torch.float64) - BOX // 2
    return torch.exp(-0.5 * ((axis - positions[..., None]) / 1.2) ** 2)


def exact_map() -> DensityMap:
    positions, weights = blobs()
    x, y, z = (gaussian(positions[:, i]) for i in range(3))
    return DensityMap(torch.einsum("n,nz,ny,nx->zyx", weights, z, y, x).float(), PIXEL)


def exact_images(ctf: CtfParameters, poses: Poses) -> torch.Tensor:
    """image(x) = projection(x - t), then the CTF."""
    positions, weights = blobs()
    seen = torch.einsum("pij,nj->pni", poses.rotations, positions)
    seen = seen[..., :2] + poses.shifts_angstrom[:, None] / PIXEL
    projections = torch.einsum(
        "n,pny,pnx->pyx", weights, gaussian(seen[..., 1]), gaussian(seen[..., 0])
    )
    disk = FourierDisk.of(BOX)
    transfer = contrast_transfer(ctf, disk, PIXEL)
    return coefficients_to_images(images_to_coefficients(projections, disk) * transfer, disk)


def particles(seed: int = 4) -> tuple[np.ndarray, CtfParameters, Poses]:
    """Random poses over all of SO(3); strong astigmatism, and a phase plate in every second."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(COUNT, generator=generator, dtype=torch.float64)

    group = np.arange(COUNT) // 2 % 2
    kv, cs, contrast = (
        torch.tensor([getattr(OPTICS[i], name) for i in group], dtype=torch.float64)
        for name in ("voltage_kv", "spherical_aberration_mm", "amplitude_contrast")
    )
    u = uniform(12000.0, 25000.0)
    phase = torch.where(torch.arange(COUNT) % 2 == 0, 0.0, uniform(20.0, 100.0))
    ctf = CtfParameters(u, u - 4000.0, uniform(0.0, 180.0), phase, kv, cs, contrast)
    tilt = torch.rad2deg(torch.acos(uniform(-1.0, 1.0)))
    angles = torch.stack([uniform(-180.0, 180.0), tilt, uniform(-180.0, 180.0)], dim=1)
    shifts = torch.stack([uniform(-9.0, 9.0), uniform(-9.0, 9.0)], dim=1)
    return group, ctf, Poses(euler_to_rotation(angles), shifts, torch.ones(COUNT))


def run(folder: Path, command: str) -> None:
    finished = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def correlations(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = (x - x.mean(dim=(1, 2), keepdim=True) for x in (a.double(), b.double()))
    return (a * b).sum(dim=(1, 2)) / (a.norm(dim=(1, 2)) * b.norm(dim=(1, 2)))


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> ParticleStack:
    """What relion_project makes of the map at angles, origins and CTFs we wrote."""
    folder = tmp_path_factory.mktemp("projected")
    group, ctf, poses = particles()
    write_map(folder / "map.mrc", exact_map())
    names = [f"{i + 1:06d}@none.mrcs" for i in range(COUNT)]
    write_new_particles(folder / "in.star", names, OPTICS, BOX, group, ctf, poses)
    run(folder, f"relion_project --i map.mrc --ang in.star --o out --ctf --angpix {PIXEL}")
    return read_particles(folder / "out.star")


def test_relion_projects_what_we_expect(projected: ParticleStack) -> None:
    images = read_images(projected, np.arange(COUNT))
    assert projected.poses is not None
    expected = exact_images(projected.ctf, projected.poses)
    assert correlations(images, expected).min() > 0.999


@pytest.mark.parametrize(
    "mistake", ["transposed", "shift_x", "defocus_angle", "phase_shift", "amplitude_contrast"]
)
def test_the_oracle_would_see_a_wrong_convention(projected: ParticleStack, mistake: str) -> None:
    poses, ctf = projected.poses, projected.ctf
    assert poses is not None
    if mistake == "transposed":
        poses = replace(poses, rotations=poses.rotations.mT)
    elif mistake == "shift_x":
        mirror = torch.tensor([-1.0, 1.0])
        poses = replace(poses, shifts_angstrom=poses.shifts_angstrom * mirror)
    else:
        name = next(field.name for field in fields(ctf) if field.name.startswith(mistake))
        ctf = replace(ctf, **{name: -getattr(ctf, name)})
    images = read_images(projected, np.arange(COUNT))
    assert correlations(images, exact_images(ctf, poses)).min() < 0.95


def test_our_slices_are_relions_projections(projected: ParticleStack) -> None:
    images = read_images(projected, np.arange(COUNT))
    assert projected.poses is not None
    disk = FourierDisk.of(BOX)
    volume = map_to_volume(exact_map().values, BOX, disk.radius)
    slices = slice_volume(volume, projected.poses.rotations.float(), disk)
    slices = slices * shift_phases(projected.poses.shifts_angstrom.float() / PIXEL, disk)
    slices = slices * contrast_transfer(projected.ctf, disk, PIXEL)
    assert correlations(images, coefficients_to_images(slices, disk)).min() > 0.98


def test_the_table_relion_wrote_says_what_we_said(projected: ParticleStack) -> None:
    group, ctf, poses = particles()
    assert projected.poses is not None
    assert (projected.box, projected.pixel_size_angstrom) == (BOX, PIXEL)
    assert projected.optics_group.tolist() == group.tolist()
    assert torch.allclose(projected.poses.rotations, poses.rotations, atol=1e-6)
    assert torch.allclose(projected.poses.shifts_angstrom, poses.shifts_angstrom, atol=1e-5)
    assert torch.allclose(projected.ctf.defocus_v_angstrom.double(), ctf.defocus_v_angstrom)


def reconstructed(folder: Path, options: str = "") -> torch.Tensor:
    run(folder, f"relion_reconstruct --i poses.star --o map.mrc --ctf {options}")
    return read_map(folder / "map.mrc").values


def our_particles(folder: Path) -> tuple[ParticleStack, Poses]:
    """A stack of exact images and its table without poses, as RELION would extract it."""
    group, ctf, poses = particles(seed=5)
    with StackWriter(folder / "stack.mrcs", BOX, PIXEL, COUNT) as writer:
        writer.append(exact_images(ctf, poses).numpy())
    names = [f"{i + 1:06d}@stack.mrcs" for i in range(COUNT)]
    write_new_particles(folder / "in.star", names, OPTICS, BOX, group, ctf)
    return read_particles(folder / "in.star"), poses


def in_relion_30(path: Path) -> None:
    """Rewrite a table into the dialect without optics groups."""
    blocks = read_star(path).blocks
    columns = dict(blocks["particles"].columns)
    group = [int(number) - 1 for number in columns.pop("rlnOpticsGroup")]
    optics = blocks["optics"].columns
    for name in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"):
        columns[name] = [optics[name][i] for i in group]
    columns["rlnMagnification"] = ["10000.0"] * len(group)
    columns["rlnDetectorPixelSize"] = [str(PIXEL)] * len(group)
    write_star(path, StarFile({"": StarBlock({}, columns)}))


@pytest.mark.parametrize("dialect", ["3.1", "3.0"])
def test_relion_reconstructs_the_map_from_our_table(tmp_path: Path, dialect: str) -> None:
    stack, poses = our_particles(tmp_path)
    if dialect == "3.0":
        in_relion_30(tmp_path / "in.star")
        stack = read_particles(tmp_path / "in.star")
    write_particles(tmp_path / "poses.star", stack, poses, np.arange(COUNT) % 2 + 1)
    truth = exact_map().values
    curve = fourier_shell_correlation(reconstructed(tmp_path), truth)
    # the Gaussians have faded to 1 % of their amplitude at two thirds of Nyquist
    assert curve[: 2 * BOX // 6].min() > 0.95
    halves = [reconstructed(tmp_path, f"--subset {half}") for half in (1, 2)]
    assert not torch.equal(*halves)
    for half in halves:
        assert fourier_shell_correlation(half, truth)[: BOX // 4].min() > 0.95
