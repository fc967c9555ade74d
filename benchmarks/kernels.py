"""Each kernel's rate, as a ratio to torch's grid_sample and to a GEMM of the same machine.

    python benchmarks/kernels.py --box 64 --particles 2000 --threads 2

Every figure is the median of several repetitions taken in turn with what it is compared to,
after compilation.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numba
import roma
import torch

from cryospin.bench.by_autograd import by_grid_sample, loss_by_autograd
from cryospin.bench.speed import timed
from cryospin.explore.posterior import grid_posterior
from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from cryospin.kernels import insert_slices, margin_for, pose_normal_equations, slice_volume
from cryospin.rotations.grid import OrientationGrid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    numba.set_num_threads(options.threads)
    torch.manual_seed(0)
    disk = FourierDisk.of(options.box)
    margin, count = margin_for(disk.radius), options.particles
    volume = torch.randn(2 * margin + 1, 2 * margin + 1, margin + 1, dtype=torch.complex64)
    rotations = roma.random_rotmat(count)
    shifts = torch.randn(count, 2)
    coefficients = torch.randn(count, len(disk), dtype=torch.complex64)
    images = ImageBatch(coefficients, torch.rand(count, len(disk)), disk)
    contenders: dict[str, Callable[[], object]] = {
        "grid_sample": lambda: by_grid_sample(volume, rotations, disk),
        "slice_volume": lambda: slice_volume(volume, rotations, disk),
        "insert_slices": lambda: insert_slices(coefficients, images.ctf, rotations, disk, margin),
        "grid_sample and autograd": lambda: by_autograd(volume, images, rotations, shifts),
        "pose_normal_equations": lambda: pose_normal_equations(volume, images, rotations, shifts),
    }
    seconds = timed(contenders, options.repeats)
    total = count * len(disk)
    print("| | million coefficients / s | times grid_sample |\n|---|---|---|")
    for name, took in seconds.items():
        reference = seconds["grid_sample and autograd" if "pose" in name else "grid_sample"]
        print(f"| {name} | {total / took / 1e6:.1f} | {reference / took:.2f} |")
    scoring(options.repeats)


def by_autograd(
    volume: torch.Tensor,
    images: ImageBatch,
    rotations: torch.Tensor,
    shifts: torch.Tensor,
) -> torch.Tensor:
    """Loss and gradient alone (no Hessian) of every pose through grid_sample."""
    turns = torch.zeros(len(rotations), 3, requires_grad=True)
    moved = shifts.clone().requires_grad_(True)
    loss_by_autograd(volume, images, rotations, turns, moved).backward()
    assert turns.grad is not None
    return turns.grad


def scoring(repeats: int) -> None:
    """Orientation x shift scoring against the same scores by one plain matrix product."""
    disk = FourierDisk.of(64, 12)
    grid = OrientationGrid.of(4, 24)
    batch, shifts = 300, torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0))
    margin = margin_for(disk.radius)
    volume = torch.randn(2 * margin + 1, 2 * margin + 1, margin + 1, dtype=torch.complex64)
    slices = slice_volume(volume, grid.base, disk)
    coefficients = torch.randn(batch, len(disk), dtype=torch.complex64)
    images = ImageBatch(coefficients, torch.rand(batch, len(disk)), disk)
    left = torch.randn(batch * len(shifts), 2 * len(disk))
    right = torch.randn(2 * len(disk), 4 * len(grid.base))
    seconds = timed(
        {
            "gemm": lambda: left @ right,
            "posterior": lambda: grid_posterior(slices, images, shifts, 1.0),
        },
        repeats,
    )
    hypotheses = batch * len(shifts) * 4 * len(grid.base)
    print(
        f"\nscoring {hypotheses / 1e6:.1f} million hypotheses: one plain GEMM "
        f"{seconds['gemm']:.3f} s; scores, posterior and M-step sums together "
        f"{seconds['posterior']:.3f} s, {seconds['posterior'] / seconds['gemm']:.2f} times that"
    )


if __name__ == "__main__":
    main()
