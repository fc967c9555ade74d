"""A batch's parts are its rows and its prefix, without copies where none is needed."""

from __future__ import annotations

import torch

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch
from phantoms import disk_coefficients

DISK = FourierDisk.of(16, 6.0)


def batch(count: int = 4) -> ImageBatch:
    images = disk_coefficients(count, DISK, 1).to(torch.complex64)
    return ImageBatch(images, torch.rand(count, len(DISK)), DISK)


def test_a_prefix_is_what_lies_within_the_radius() -> None:
    whole = batch()
    low = whole.prefix(3.0)
    within = torch.as_tensor(DISK.magnitude <= 3.0)
    assert low.disk.radius == 3.0 and len(low.disk) == int(within.sum())
    assert torch.equal(low.coefficients, whole.coefficients[:, within])
    assert torch.equal(low.ctf, whole.ctf[:, within])
    assert low.coefficients.data_ptr() == whole.coefficients.data_ptr()


def test_rows_may_be_taken_several_times() -> None:
    whole, rows = batch(), torch.tensor([2, 0, 2])
    some = whole.select(rows)
    assert len(some) == 3 and some.disk is DISK
    assert torch.equal(some.coefficients, whole.coefficients[rows])
    assert torch.equal(some.ctf, whole.ctf[rows])


def test_contiguous_copies_only_what_lies_apart() -> None:
    whole = batch()
    assert whole.contiguous().coefficients is whole.coefficients
    low = whole.prefix(3.0)
    together = low.contiguous()
    assert together.coefficients.is_contiguous() and together.ctf.is_contiguous()
    assert torch.equal(together.coefficients, low.coefficients)


def test_the_loss_under_an_empty_map_is_the_images_power() -> None:
    whole = batch()
    expected = whole.coefficients.abs().square().sum(dim=1)
    torch.testing.assert_close(whole.empty_loss(), expected)
