"""Insertion on cards, in every way of adding up, against its twin in float64; see `on_device`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.kernels import cuda, cuda_sums, margin_for, reference
from kernels.on_device import (
    DEVICE,
    DISKS,
    ON_CARD,
    assert_near,
    exact,
    noise_volume,
    on_device,
    positive,
    prefixes,
)
from phantoms import disk_coefficients, random_turns

HOWS = ["atomics", "integers"] + ["vectors"] * (ON_CARD and cuda_sums._adds_vectors(DEVICE))


@pytest.fixture(params=HOWS)
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each way of adding up."""
    if request.param == "atomics":
        monkeypatch.setattr(cuda_sums, "_adds_vectors", lambda device: False)
    with cuda_sums.deterministic_sums(request.param == "integers"):
        yield request.param


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("oversampling", [1, 2])
def test_insertion(disk: FourierDisk, oversampling: int, how: str) -> None:
    """In several portions, one of them empty, of rows longer than the disk."""
    arguments = (disk_coefficients(5, disk, 1), positive(5, disk, 2), random_turns(5, 1))
    margin = margin_for(disk.radius, oversampling) + 1
    expected = reference.insert_slices(*exact(*arguments), disk, margin, oversampling)
    values, weights, rotations = on_device(*arguments)
    (values, weights) = prefixes(values, weights)
    rows = (slice(0, 1), slice(1, 1), slice(1, 5))
    portions = ((values[r], weights[r], rotations[r]) for r in rows)
    found = cuda.insert_portions(portions, disk, margin, oversampling)
    for ours, twin in zip(found, expected, strict=True):
        assert_near(ours, twin)


def test_insertion_is_the_adjoint_of_slicing(how: str) -> None:
    """<slice(V), y> = <V, insert(y)> over the reals."""
    disk = DISKS[1]
    volume, values, weights, rotations = on_device(
        noise_volume(disk, 2),
        disk_coefficients(3, disk, 1),
        positive(3, disk, 2),
        random_turns(3, 1),
    )
    margin = volume.shape[-1] - 1
    numerator, _ = cuda.insert_portions([(values, weights, rotations)], disk, margin, 2)
    sliced = cuda.slice_volume(volume, rotations, disk, 2)
    inner = [
        float((a.conj().to(torch.complex128) * b).real.sum())
        for a, b in ((volume, numerator), (sliced, values))
    ]
    # rounding of each term, relative to the product of the norms
    assert abs(inner[0] - inner[1]) < 1e-6 * float(sliced.norm() * values.norm())


def test_deterministic_sums_do_not_depend_on_the_order() -> None:
    disk = DISKS[0]
    values, weights, rotations = on_device(
        disk_coefficients(4, disk, 1), positive(4, disk, 2), random_turns(4, 1)
    )
    found = []
    for seed in (0, 1):
        order = torch.randperm(4, generator=torch.manual_seed(seed)).to(DEVICE)
        portions = [
            # the second portion is so much stronger that the first makes room for it
            (values[order], weights[order], rotations[order]),
            (1e6 * values[order], 1e3 * weights[order], rotations[order]),
        ]
        with cuda_sums.deterministic_sums():
            found.append(cuda.insert_portions(portions, disk, margin_for(disk.radius), 2))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    whole = tuple(torch.cat(parts) for parts in zip(*portions, strict=True))
    twin = reference.insert_slices(
        *exact(*(t.cpu() for t in whole)), disk, margin_for(disk.radius), 2
    )
    assert_near(found[0][0], twin[0])
    assert_near(found[0][1], twin[1])


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_deterministic_sums_of_any_size(size: float) -> None:
    disk = DISKS[0]
    arguments = (
        size * disk_coefficients(3, disk, 1),
        size * positive(3, disk, 2),
        random_turns(3, 1),
    )
    with cuda_sums.deterministic_sums():
        found = cuda.insert_portions([on_device(*arguments)], disk, margin_for(disk.radius), 2)
    twin = reference.insert_slices(*exact(*arguments), disk, margin_for(disk.radius), 2)
    assert_near(found[0], twin[0])
    assert_near(found[1], twin[1])


# Triton's interpreter has numpy make integers of them, which a card does silently
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_deterministic_sums_hide_no_broken_number(bad: float) -> None:
    disk = DISKS[0]
    values, weights, rotations = on_device(
        disk_coefficients(3, disk, 1), positive(3, disk, 2), random_turns(3, 1)
    )
    values[1, 2] = bad
    with cuda_sums.deterministic_sums():
        portions = [(values, weights, rotations)]
        numerator, denominator = cuda.insert_portions(portions, disk, margin_for(disk.radius), 2)
    assert numerator.isnan().any() and denominator.isfinite().all()


def test_deterministic_sums_end_with_their_block() -> None:
    with pytest.raises(RuntimeError), cuda_sums.deterministic_sums():
        assert cuda_sums._deterministic
        raise RuntimeError
    assert not cuda_sums._deterministic
