"""Six numbers to a rotation: always a rotation, always a finite gradient."""

import pytest
import torch

from cryospin.rotations.s2s2 import s2s2_to_rotation


def six_numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, 6, dtype=torch.float64, generator=generator)


DEGENERATE = {
    "zero": [0.0, 0, 0, 0, 0, 0],
    "first zero": [0.0, 0, 0, 1, 2, 3],
    "second zero": [1.0, 2, 3, 0, 0, 0],
    "parallel": [1.0, 2, 3, 2, 4, 6],
    "opposite": [1.0, 2, 3, -1, -2, -3],
    "nearly parallel": [1.0, 2, 3, 1, 2, 3 + 1e-9],
    "x axis twice": [1.0, 0, 0, 1, 0, 0],
}


def assert_rotations(rotations: torch.Tensor, tolerance: float) -> None:
    identity = torch.eye(3, dtype=rotations.dtype).expand_as(rotations)
    torch.testing.assert_close(rotations.mT @ rotations, identity, rtol=0, atol=tolerance)
    assert (torch.linalg.det(rotations) > 0).all()


def test_every_six_numbers_give_a_rotation() -> None:
    assert_rotations(s2s2_to_rotation(six_numbers(5, 7)), 1e-12)


def test_columns_are_those_of_the_paper() -> None:
    six = six_numbers(20)
    rotation = s2s2_to_rotation(six)
    first = six[:, :3] / six[:, :3].norm(dim=1, keepdim=True)
    third = torch.linalg.cross(first, six[:, 3:], dim=1)
    third = third / third.norm(dim=1, keepdim=True)
    torch.testing.assert_close(rotation[..., 0], first)
    torch.testing.assert_close(rotation[..., 2], third)


def test_a_rotation_comes_back_from_its_own_columns() -> None:
    rotation = s2s2_to_rotation(six_numbers(20))
    six = torch.cat([rotation[..., 0], rotation[..., 1]], dim=-1)
    torch.testing.assert_close(s2s2_to_rotation(six), rotation)


def test_gradient_equals_finite_differences() -> None:
    six = six_numbers(6).requires_grad_()
    assert torch.autograd.gradcheck(s2s2_to_rotation, (six,))


@pytest.mark.parametrize("numbers", DEGENERATE.values(), ids=DEGENERATE.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_input_is_a_rotation_with_a_finite_gradient(
    numbers: list[float], dtype: torch.dtype
) -> None:
    six = torch.tensor(numbers, dtype=dtype, requires_grad=True)
    rotation = s2s2_to_rotation(six)
    assert_rotations(rotation.detach(), 1e-5)
    (rotation * torch.arange(9.0).view(3, 3)).sum().backward()
    assert six.grad is not None and six.grad.isfinite().all()
