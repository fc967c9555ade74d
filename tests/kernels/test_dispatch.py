"""Which twin computes."""

from __future__ import annotations

import pytest
import torch

from cryospin.kernels import cpu, reference
from cryospin.kernels.dispatch import fit_compiled, reference_only, same_bits, twin_of

SINGLE, COMPLEX = torch.ones(2), torch.ones(2, dtype=torch.complex64)


def test_single_precision_without_a_gradient_is_compiled() -> None:
    assert twin_of(SINGLE, COMPLEX) is cpu


@pytest.mark.parametrize(
    "other", [SINGLE.double(), COMPLEX.to(torch.complex128), SINGLE.to("meta")]
)
def test_what_the_compiled_kernels_do_not_take_is_computed_by_the_reference(
    other: torch.Tensor,
) -> None:
    assert not fit_compiled(SINGLE, other)
    assert twin_of(SINGLE, other) is reference


def test_gradients_are_the_references() -> None:
    wanted = SINGLE.clone().requires_grad_()
    assert fit_compiled(wanted)
    assert twin_of(COMPLEX, wanted) is reference


def test_only_the_reference_when_asked_for_until_the_block_ends() -> None:
    with pytest.raises(RuntimeError), reference_only():
        with reference_only():
            assert twin_of(SINGLE) is reference
        assert twin_of(SINGLE) is reference
        raise RuntimeError
    assert twin_of(SINGLE) is cpu


def test_the_same_bits_ask_nothing_of_the_cpu() -> None:
    with same_bits(torch.device("cpu")):
        assert not torch.are_deterministic_algorithms_enabled()
