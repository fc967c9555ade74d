"""Pictures are read back, by another program, as they were written."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread

from cryospin.report.png import encoded_png


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (96, 96), (1, 1, 4), (6, 9, 4), (64, 64, 4)])
def test_a_picture_comes_back(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(len(shape)).integers(0, 256, shape, dtype=np.uint8)
    for each in (picture, picture[::-1]):
        read = imread(io.BytesIO(encoded_png(each)), format="png")
        np.testing.assert_array_equal(np.round(255 * read), each)
