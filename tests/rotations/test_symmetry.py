"""Point groups: group axioms, and RELION's own list of operators."""

import re
import shutil
import subprocess

import pytest
import torch

from cryospin.errors import UsageError
from cryospin.rotations.symmetry import symmetry_group

ORDERS = {"C1": 1, "C2": 2, "C7": 7, "D1": 2, "D2": 4, "D7": 14, "T": 12, "O": 24}
ORDERS |= dict.fromkeys(("I", "I1", "I2", "I3", "I4"), 60)


def contains(group, rotations, tolerance=1e-9):
    """For each rotation, whether the group has it."""
    return (group[None] - rotations[:, None]).flatten(2).norm(dim=2).amin(1) < tolerance


@pytest.mark.parametrize("name", ORDERS)
def test_is_a_group_of_rotations(name):
    group = symmetry_group(name)
    assert group.shape == (ORDERS[name], 3, 3)
    assert group.dtype == torch.float64
    torch.testing.assert_close(group[0], torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(torch.linalg.det(group), torch.ones(len(group)).double())
    products = (group[:, None] @ group[None]).flatten(0, 1)
    assert contains(group, products).all()
    assert contains(group, group.mT).all()


@pytest.mark.skipif(
    shutil.which("relion_refine") is None, reason="needs RELION on the PATH (Debian package relion)"
)
@pytest.mark.parametrize("name", ["C1", "C5", "D2", "D3", "T", "O", "I", "I1", "I2", "I3", "I4"])
def test_agrees_with_relion(name):
    run = subprocess.run(
        ["relion_refine", "--print_symmetry_ops", "--sym", name],
        capture_output=True,
        text=True,
        timeout=60,
    )
    blocks = re.findall(r"R\(\d+\)=\s*((?:[-+.\de]+\s+){9})", run.stdout + run.stderr)
    theirs = torch.tensor([[float(token) for token in block.split()] for block in blocks])
    group = symmetry_group(name)
    assert len(theirs) == len(group)
    # RELION keeps five or six digits
    assert contains(group, theirs.view(-1, 3, 3).double(), tolerance=1e-4).all()


def test_lower_case_is_accepted():
    assert len(symmetry_group("d3")) == 6


@pytest.mark.parametrize("name", ["", "C", "C0", "X", "I5", "C999", "D-2"])
def test_unknown_names_are_a_usage_error(name):
    with pytest.raises(UsageError, match="unknown symmetry"):
        symmetry_group(name)
