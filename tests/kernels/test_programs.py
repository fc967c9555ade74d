"""The programs compile for cards nobody need have: down to PTX and through the assembler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cryospin

KERNELS = Path(cryospin.__file__).parent / "kernels"

# what is launched, by its arguments' names; every other argument is an int32
POINTERS = {
    "*i64": "volume out values images index found places",
    "*i32": "best_shifts",
    "*fp32": "rotations kx ky weights sums scale ctf shifts loss gradient hessian scores norms "
    "evidence quaternions best_scores factors data power",
    "fp32": "turn inverse_temperature log_hypotheses near",
}

COMPILE = """
import sys
from importlib import import_module
from types import ModuleType
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

folder, types, (module, name, capability, warps, constants) = sys.argv[1], *map(eval, sys.argv[2:])
# the package without what it begins with, which brings torch
sys.modules["cryospin.kernels"] = ModuleType("cryospin.kernels")
sys.modules["cryospin.kernels"].__path__ = [folder]
program = getattr(import_module("cryospin.kernels." + module), name)
types = {argument: kind for kind, names in types.items() for argument in names.split()}
if constants.get("HOW") == "integers":
    types["sums"] = "*i64"
signature = {
    name: "constexpr" if name in constants else types.get(name, "i32") for name in program.arg_names
}
target = GPUTarget("cuda", capability, 32)
compiled = compile(
    ASTSource(program, signature, constants), target=target, options={"num_warps": warps}
)
print(compiled.asm["ptx"])
assert compiled.asm["cubin"]
"""


def compiled(module: str, name: str, capability: int, warps: int, **constants: object) -> str:
    """Its PTX, by a Python of its own, in which triton is no interpreter."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    what = (module, name, capability, warps, constants)
    result = subprocess.run(
        [sys.executable, "-c", COMPILE, str(KERNELS), repr(POINTERS), repr(what)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("how", "capability", "instruction"),
    [
        ("atomics", 75, "relaxed.add.f32"),
        ("integers", 75, "relaxed.add.u64"),
        ("vectors", 90, "@inside red.global.add.v4.f32"),
    ],
)
def test_insertion_adds_as_it_says(how: str, capability: int, instruction: str) -> None:
    ptx = compiled("volume_programs", "insert_program", capability, 1, HOW=how, BLOCK=128)
    assert ptx.count(instruction) % 8 == 0 and instruction in ptx


@pytest.mark.parametrize(
    ("module", "name", "warps", "constants"),
    [
        ("volume_programs", "slice_program", 1, {"BLOCK": 128}),
        ("pose_programs", "pose_program", 1, {"DERIVATIVES": False, "BLOCK": 128}),
        ("pose_programs", "pose_program", 1, {"DERIVATIVES": True, "BLOCK": 128}),
        ("grid_programs", "fold_program", 1, {"BLOCK": 128}),
        ("grid_programs", "weigh_program", 8, {"BLOCK": 1024}),
        ("grid_programs", "peaks_program", 8, {"BLOCK": 1024}),
    ],
)
def test_compiles(module: str, name: str, warps: int, constants: dict[str, object]) -> None:
    assert ".target sm_80" in compiled(module, name, 80, warps, **constants)
