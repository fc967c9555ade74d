"""Folding is an orthonormal change of basis in which half-turns are signs: exact in float64."""

from __future__ import annotations

import pytest
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.parity import ParityFold
from cryospin.kernels import margin_for, slice_volume
from cryospin.rotations.grid import VIEW_HALF_TURNS
from cryospin.volumes.gridded import map_to_volume
from phantoms import disk_coefficients, random_turns

ROUNDING = {"rtol": 1e-10, "atol": 1e-10}
# of block (ee, oo, oe, eo) in the vector of each of VIEW_HALF_TURNS
HALF_TURN_SIGNS = torch.tensor([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, -1, 1], [1, -1, 1, -1]])
DISKS = [FourierDisk.of(24), FourierDisk.of(16, 4.2), FourierDisk.of(8, 0.0)]


def inner(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Re <a_i, b_j>, (i, j)."""
    return (first.conj() @ second.T).real


def slices(disk: FourierDisk, rotations: torch.Tensor) -> torch.Tensor:
    """Of a map of noise, through the float64 twin."""
    box = disk.box
    values = torch.randn(box, box, box, dtype=torch.float64, generator=torch.manual_seed(3))
    volume = map_to_volume(values, box, disk.radius)
    assert volume.shape[-1] - 1 == margin_for(disk.radius)
    return slice_volume(volume, rotations, disk)


@pytest.mark.parametrize("disk", DISKS)
def test_unfolding_undoes_folding(disk: FourierDisk) -> None:
    fold, values = ParityFold.of(disk), disk_coefficients(4, disk, seed=1)
    blocks = fold.fold(values)
    assert sum(block.shape[-1] for block in blocks) == 2 * len(disk) - 1
    torch.testing.assert_close(fold.unfold(*blocks), values, **ROUNDING)


@pytest.mark.parametrize("disk", DISKS)
def test_inner_products_are_kept(disk: FourierDisk) -> None:
    fold = ParityFold.of(disk)
    first, second = disk_coefficients(3, disk, seed=1), disk_coefficients(5, disk, seed=2)
    folded = sum(a @ b.T for a, b in zip(fold.fold(first), fold.fold(second), strict=True))
    torch.testing.assert_close(folded, inner(first, second), **ROUNDING)


@pytest.mark.parametrize("disk", DISKS)
def test_even_blocks_alone(disk: FourierDisk) -> None:
    fold = ParityFold.of(disk)
    power, weight = (disk_coefficients(3, disk, seed).abs().square() for seed in (1, 2))
    torch.testing.assert_close(fold.unfold_even(*fold.fold_even(power)), power, **ROUNDING)
    pairs = zip(fold.fold_even(power), fold.fold_even(weight), strict=True)
    folded = sum(a @ b.T for a, b in pairs)
    torch.testing.assert_close(folded, power @ weight.T, **ROUNDING)


@pytest.mark.parametrize("turn", range(4))
def test_half_turned_slices_differ_by_block_signs(turn: int) -> None:
    disk = FourierDisk.of(20)
    fold = ParityFold.of(disk)
    rotations, images = random_turns(6, seed=2), disk_coefficients(5, disk, seed=3)
    direct = slices(disk, VIEW_HALF_TURNS[turn].double() @ rotations)
    signs = HALF_TURN_SIGNS[turn].tolist()
    plain = fold.fold(slices(disk, rotations))
    for sign, block, expected in zip(signs, plain, fold.fold(direct), strict=True):
        torch.testing.assert_close(sign * block, expected, **ROUNDING)
    folded = sum(s * a @ b.T for s, a, b in zip(signs, fold.fold(images), plain, strict=True))
    torch.testing.assert_close(folded, inner(images, direct), **ROUNDING)


@pytest.mark.parametrize("turn", range(4))
def test_powers_of_half_turned_slices(turn: int) -> None:
    disk = FourierDisk.of(20)
    fold = ParityFold.of(disk)
    rotations = random_turns(6, seed=2)
    weights = disk_coefficients(5, disk, seed=4).abs().square()
    direct = slices(disk, VIEW_HALF_TURNS[turn].double() @ rotations).abs().square()
    # the two half-turns that flip one frequency only change the sign of the odd-odd block
    even, odd = fold.fold_even(slices(disk, rotations).abs().square())
    sign = float(HALF_TURN_SIGNS[turn, 1])
    folded_weights = fold.fold_even(weights)
    norms = folded_weights[0] @ even.T + sign * folded_weights[1] @ odd.T
    torch.testing.assert_close(norms, weights @ direct.T, **ROUNDING)


def test_signs_are_the_characters_of_the_half_turns() -> None:
    """Rows multiply as the half-turns do."""
    for a in range(4):
        for b in range(4):
            product = VIEW_HALF_TURNS[a] @ VIEW_HALF_TURNS[b]
            c = int((VIEW_HALF_TURNS - product).abs().sum((1, 2)).argmin())
            assert torch.equal(HALF_TURN_SIGNS[a] * HALF_TURN_SIGNS[b], HALF_TURN_SIGNS[c])
