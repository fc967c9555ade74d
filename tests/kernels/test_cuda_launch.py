"""Tensors as the programs for cards walk them."""

from __future__ import annotations

import torch

from cryospin.kernels.cuda_launch import words_of


def test_images_are_not_copied() -> None:
    images = torch.zeros(4, 9, dtype=torch.complex64)[1:, :6]
    assert words_of(images).data_ptr() == images.data_ptr()
    assert words_of(images).stride() == images.stride()
