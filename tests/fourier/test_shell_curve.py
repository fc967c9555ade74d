"""Shell 0 comes first, and the first crossing counts."""

from __future__ import annotations

import pytest
import torch

from cryospin.fourier.shell_curve import ShellCurve


@pytest.mark.parametrize(
    "curve, radius",
    [
        ([1, 0.9, 0.5, 0.1, 0.6], 2.0 + 0.2 / 0.4),
        ([1, 0.2, 0.9], 0.0 + 0.7 / 0.8),
        ([1, 0.9, 0.8], 2.0),
        ([1, 0.3, 0.3], 2.0),  # at the threshold is not below it
        ([1], 0.0),
    ],
)
def test_the_crossing_is_interpolated(curve: list[float], radius: float) -> None:
    values = torch.tensor(curve, dtype=torch.float64)
    assert ShellCurve(values).crossing(0.3) == pytest.approx(radius, abs=1e-12)


def test_an_fsc_gets_a_shell_of_its_means() -> None:
    correlation = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    assert ShellCurve.of_fsc(correlation).values.tolist() == [1.0, 0.9, 0.5, 0.1]
    within = ShellCurve.of_fsc(correlation, 2.9)
    assert within.values.tolist() == [1.0, 0.9, 0.5] and len(within) == 3
