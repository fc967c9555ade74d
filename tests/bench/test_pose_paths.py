"""Paths of poses over the posterior: where they end, and where the posterior has its peak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryospin.bench.curves import Truth
from cryospin.bench.datasets import Dataset
from cryospin.bench.pose_paths import landscapes, paths_figure
from cryospin.bench.watched import Watched
from cryospin.report.posterior import gnomonic


def test_a_path_ends_at_the_peak(dataset: Dataset, watched: Watched, tmp_path: Path) -> None:
    """Poses are 90, 20 and then 2 degrees off."""
    truth = Truth.of(dataset, watched.uids)
    found = landscapes({"cryospin": watched}, truth)
    assert len(found) == 3
    for landscape in found:
        x, y = gnomonic(landscape.paths["cryospin"], landscape.pose, 30.0)
        lengths = np.degrees(np.arctan(np.hypot(x, y) * np.tan(np.radians(30.0)) / 30.0))
        assert lengths[2] < 2.5 and lengths[1] < 21.0
        # SNR 1: the peak is where the truth is, but for a lattice step or two
        peak = np.array(np.unravel_index(landscape.near.argmax(), landscape.near.shape))
        assert np.abs(peak - 20).max() <= 3
        assert landscape.near.max() == pytest.approx(0.0)
    drawn = paths_figure(found, tmp_path / "paths.svg").read_text()
    assert found[0].uid in drawn and "cryospin" in drawn
