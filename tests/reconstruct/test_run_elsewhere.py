"""A whole run computes where its particles are, and what it leaves is on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cryospin.io.relion import read_particles
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.request import Request
from elsewhere import ELSEWHERE, Elsewhere, teach
from mixture_toys import simulated
from reconstruct_toys import cut_down, toy


@pytest.mark.parametrize("symmetry", ["C1", "auto"])
@pytest.mark.parametrize("recipe", ["exhaustive", "cryospin"])
def test_a_run_ends_elsewhere(
    recipe: str, symmetry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_down(monkeypatch)
    teach(monkeypatch)
    stack = read_particles(simulated(tmp_path))
    request = Request(seed=3, symmetry=symmetry, device=ELSEWHERE.type)
    with Elsewhere():
        found = toy(recipe).run(stack, request, Monitor())
    assert found.map.values.device.type == found.poses.rotations.device.type == "cpu"
    assert bool(torch.isfinite(found.map.values).all())
