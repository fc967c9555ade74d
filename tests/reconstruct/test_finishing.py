"""What is said of poses at the end."""

from __future__ import annotations

import pytest
import torch

from cryospin.reconstruct.finishing import believable
from cryospin.types import Poses


@pytest.mark.parametrize(("believed", "mean"), [(0.3, 0.3), (0.6, 0.6), (0.9, 0.8)])
def test_confidences_are_as_many_as_are_believed(believed: float, mean: float) -> None:
    poses = Poses(torch.eye(3).repeat(2, 1, 1), torch.zeros(2, 2), torch.tensor([0.6, 1.0]))
    found = believable(poses, believed)
    assert float(found.confidence.mean()) == pytest.approx(mean)
    assert float(found.confidence[0] / found.confidence[1]) == pytest.approx(0.6)
    assert torch.equal(found.rotations, poses.rotations)
