"""A whole run with classes computes where its particles are: there is no card where tests run, so
a pretended one tells of tensors that do not belong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryospin.io.relion import read_particles
from cryospin.mixture.solve import Mixture
from cryospin.reconstruct.monitor import Monitor
from cryospin.reconstruct.request import Request
from elsewhere import ELSEWHERE, Elsewhere, teach
from mixture_toys import METHOD, SEMI_AMORTISED, cut_down_classes, simulated


@pytest.mark.parametrize("method", [METHOD, SEMI_AMORTISED], ids=["exhaustive", "cryospin"])
def test_a_mixture_is_found_elsewhere(
    method: Mixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_down_classes(monkeypatch)
    teach(monkeypatch)
    stack = read_particles(simulated(tmp_path))
    with Elsewhere():
        found = method.run(stack, 2, Request(seed=3, device=ELSEWHERE.type), Monitor())
    # of random poses: last bits decide how many
    assert found.classes
    assert all(each.result.map.values.device.type == "cpu" for each in found.classes)
