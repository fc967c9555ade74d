"""The shells of a Fourier volume are the box's."""

from __future__ import annotations

import pytest
import torch

from cryospin.volumes.volume_shells import shell_means, shells_of_volume


def test_shells_are_frequencies_of_the_box() -> None:
    shells = shells_of_volume(5)
    assert shells.shape == (11, 11, 6)
    assert shells[5, 5, 0] == 0 and shells[5, 5, 4] == 2
    assert float(shells[5 - 3, 5 + 4, 0]) == pytest.approx(2.5)


def test_shell_means_of_a_radial_function() -> None:
    shells = shells_of_volume(13)
    torch.testing.assert_close(shell_means(torch.full_like(shells, 2.5), 7), torch.full((7,), 2.5))
    # the mean radius of a shell is its number, to within the shell's asymmetry
    means = shell_means(shells, 6)
    torch.testing.assert_close(means[2:], torch.arange(2.0, 6.0), rtol=0, atol=0.1)
