"""States survive as bytes to the last bit, and nothing but states is taken."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cryospin.errors import UsageError
from cryospin.explore.exploration import Exploration
from cryospin.journal.tree import is_finite, packed, unpacked
from cryospin.poses import PoseHypotheses
from cryospin.reconstruct.refinement import RoundReport
from cryospin.volumes.gridded import SliceSums
from elsewhere import ELSEWHERE, Elsewhere


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.complex64, torch.int64, torch.bool, torch.uint8]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 4)])
def test_tensors_keep_their_bits(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    tensor = (torch.randn(shape, generator=generator, dtype=torch.float64) * 3).to(dtype)
    again = unpacked(packed(tensor))
    assert again.dtype == dtype and again.shape == shape
    assert torch.equal(again, tensor)


def test_tensors_keep_the_order_of_their_axes_in_memory() -> None:
    """Products of matrices laid out otherwise may differ in their last bits."""
    plain = torch.arange(120.0).view(2, 3, 4, 5)
    last = plain.contiguous(memory_format=torch.channels_last)
    for tensor in (plain, last, plain.mT, plain.permute(3, 0, 2, 1)):
        again = unpacked(packed(tensor))
        assert torch.equal(again, tensor) and again.stride() == tensor.stride()


def test_what_was_on_a_card_returns_to_one() -> None:
    with Elsewhere():
        there, here = torch.ones(2, device=ELSEWHERE), torch.zeros(2)
        data = packed((there, here))
        again = unpacked(data, ELSEWHERE.type)
        assert [each.device.type for each in again] == [ELSEWHERE.type, "cpu"]
        assert torch.equal(again[0].cpu(), torch.ones(2))
        assert [each.device.type for each in unpacked(data)] == ["cpu", "cpu"]


def test_arrays_and_scalars() -> None:
    tree = {
        "array": np.arange(6).reshape(2, 3),
        "floats": [0.1, -0.0, 1e-310, float("inf"), 2**70 / 3],
        "rest": (True, 3, "text", None, {}, (), [], {1: "whole number"}),
    }
    again = unpacked(packed(tree))
    assert np.array_equal(again["array"], tree["array"]) and isinstance(again["array"], np.ndarray)
    assert again["floats"] == tree["floats"] and math.copysign(1, again["floats"][1]) == -1
    assert again["rest"] == tree["rest"] and isinstance(again["rest"], tuple)
    assert math.isnan(unpacked(packed(float("nan"))))


def test_records_of_records() -> None:
    sums = SliceSums(torch.randn(3, 3, 2, dtype=torch.complex64), torch.rand(3, 3, 2))
    hypotheses = PoseHypotheses(torch.rand(2, 1, 3, 3), torch.rand(2, 1, 2))
    reports = [RoundReport(12.0, 0.1 + 0.2, 1 / 3)]
    one, (other, told) = unpacked(packed((sums, (hypotheses, reports))))
    assert isinstance(one, SliceSums) and torch.equal(one.numerator, sums.numerator)
    assert isinstance(other, PoseHypotheses) and torch.equal(other.rotations, hypotheses.rotations)
    assert told == reports


def test_what_is_recalled_is_not_shared_with_what_was_kept() -> None:
    tensor = torch.zeros(3)
    data = packed(tensor)
    tensor += 1
    again = unpacked(data)
    again += 2
    assert torch.equal(unpacked(data), torch.zeros(3))


@pytest.mark.parametrize("alien", [object(), {1, 2}, np.float32(1.0), pytest.approx(1)])
def test_nothing_else_is_taken(alien: object) -> None:
    with pytest.raises(TypeError, match="cannot be part of a checkpoint"):
        packed([alien])


@pytest.mark.parametrize(
    ("module", "name"),
    [("subprocess", "Popen"), ("cryospin.io.atomic", "atomic_path"), ("cryospin.types", "Any")],
)
def test_reading_makes_nothing_but_our_records(module: str, name: str) -> None:
    report = RoundReport(1.0, 2.0, 3.0)
    # of the same length: offsets of a file are counted
    data = packed((report, "x" * 60))
    ours = b'[\\"cryospin.reconstruct.refinement\\", \\"RoundReport\\"'
    assert ours in data
    theirs = f'[\\"{module}\\", \\"{name}\\"'.encode()
    changed = data.replace(ours, theirs + b" " * (len(ours) - len(theirs)))
    with pytest.raises(
        UsageError, match=f"{name} cannot be part of a checkpoint\n  fix: leave out"
    ):
        unpacked(changed)


def renamed(report: RoundReport, old: str, new: str) -> bytes:
    """A state with it in which a field has another name of the same length."""
    data = packed((report, "text"))
    assert len(old) == len(new) and data.count(old.encode()) == 1
    return data.replace(old.encode(), new.encode())


def test_fields_are_recalled_by_name() -> None:
    """Not by place: "radius" and "limit" of another version may be the other way round."""
    report = RoundReport(radius=1.0, limit=2.0, median_turn_degrees=3.0)
    data = packed(report)
    there, here = b'\\"radius\\": 1.0, \\"limit\\": 2.0', b'\\"limit\\": 2.0, \\"radius\\": 1.0'
    assert there in data
    assert unpacked(data.replace(there, here)) == report


@pytest.mark.parametrize(
    ("old", "new"), [("radius", "raduis"), ("limit", "bound"), ("median_turn_degrees", "x" * 19)]
)
def test_a_record_of_other_fields_is_refused(old: str, new: str) -> None:
    with pytest.raises(UsageError) as refusal:
        unpacked(renamed(RoundReport(1.0, 2.0, 3.0), old, new))
    assert f"unknown in RoundReport: {new}\n  fix: leave out --resume" in str(refusal.value)


def test_a_record_without_one_of_its_fields_is_refused() -> None:
    """Also where that has a default today."""
    sums = SliceSums(torch.zeros(1, 1, 1, dtype=torch.complex64), torch.zeros(1, 1, 1))
    data = packed(Exploration(sums, 8.0, (1.0,), 0.5))
    there = b', \\"starts_radius\\": 0.0'
    assert there in data
    # offsets of a file are counted
    with pytest.raises(UsageError, match="missing in Exploration: starts_radius"):
        unpacked(data.replace(there, b" " * len(there)))


def test_values_that_are_none_are_told() -> None:
    report = RoundReport(float("nan"), 0.0, 0.0)
    assert is_finite((torch.ones(2), [np.arange(3)], {"a": report}, float("inf"), torch.empty(0)))
    sums = SliceSums(torch.ones(1, 1, 1, dtype=torch.complex64), torch.full((1, 1, 1), torch.nan))
    for bad in (sums, {"a": [np.array([1.0, np.inf])]}):
        assert not is_finite(bad)
