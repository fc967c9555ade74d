import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryospin.io.conventions import (
    euler_to_rotation,
    rotation_to_euler,
    shifts_from_relion_origins,
)

steady = settings(derandomize=True, deadline=None, max_examples=60)


def written_out(rot: float, tilt: float, psi: float) -> torch.Tensor:
    """RELION's matrix element by element, the plain twin of the product of three."""
    a, b, g = (math.radians(x) for x in (rot, tilt, psi))
    ca, sa, cb, sb, cg, sg = (f(x) for x in (a, b, g) for f in (math.cos, math.sin))
    return torch.tensor(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ],
        dtype=torch.float64,
    )


angle = st.floats(-360.0, 360.0)


@steady
@given(rot=angle, tilt=angle, psi=angle)
def test_matrix_is_the_written_out_one(rot: float, tilt: float, psi: float) -> None:
    matrix = euler_to_rotation(torch.tensor([rot, tilt, psi], dtype=torch.float64))
    assert torch.allclose(matrix, written_out(rot, tilt, psi), atol=1e-12)


@steady
@given(rot=angle, tilt=st.one_of(angle, st.sampled_from([0.0, 180.0])), psi=angle)
def test_angles_give_the_matrix_back(rot: float, tilt: float, psi: float) -> None:
    matrix = euler_to_rotation(torch.tensor([rot, tilt, psi], dtype=torch.float64))
    angles = rotation_to_euler(matrix)
    assert 0.0 <= angles[1] <= 180.0
    # near the poles, where rot is chosen to be 0, up to 1e-6 rad are given away
    assert torch.allclose(euler_to_rotation(angles), matrix, atol=2e-6)


def test_angles_of_float32_matrices_at_the_poles() -> None:
    given_angles = torch.tensor([[30.0, 0.0, 40.0], [30.0, 180.0, 40.0]])
    matrix = euler_to_rotation(given_angles).to(torch.float32)
    again = euler_to_rotation(rotation_to_euler(matrix))
    assert torch.allclose(again.to(torch.float32), matrix, atol=2e-6)


def test_leading_dimensions_are_free() -> None:
    angles = torch.rand(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert euler_to_rotation(angles).shape == (2, 5, 3, 3)
    assert torch.allclose(rotation_to_euler(euler_to_rotation(angles)), angles)


def test_origin_is_minus_the_shift() -> None:
    origins = torch.tensor([[1.0, -2.0]])
    assert torch.equal(shifts_from_relion_origins(origins), torch.tensor([[-1.0, 2.0]]))
