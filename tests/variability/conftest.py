"""A run of particles that vary along two components, and one of particles that are all the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from variability_toys import LinearPhantom, drawn_coordinates, write_run

COUNT = 240


@pytest.fixture(scope="session")
def true_coordinates() -> torch.Tensor:
    return drawn_coordinates(COUNT, 2, seed=8)


@pytest.fixture(scope="session")
def varied_run(tmp_path_factory: pytest.TempPathFactory, true_coordinates: torch.Tensor) -> Path:
    folder = tmp_path_factory.mktemp("varied")
    return write_run(folder, LinearPhantom.of(2), true_coordinates, signal=80.0)


@pytest.fixture(scope="session")
def homogeneous_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("homogeneous")
    return write_run(folder, LinearPhantom.of(0), torch.zeros(COUNT, 0), signal=80.0)


@pytest.fixture
def spoilt(varied_run: Path, tmp_path: Path) -> Path:
    """A copy of the varied run that a test may change."""
    return Path(shutil.copytree(varied_run, tmp_path / "run"))
