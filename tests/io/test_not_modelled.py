"""What a table says of its images and the forward model leaves out is told, with its cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryosparc_tables import full, table
from cryospin.io.cryosparc import read_cryosparc
from cryospin.io.formats import CRYODRGN, CRYOSPARC, RELION_30, RELION_31
from cryospin.io.losses import losses
from cryospin.io.relion import read_particles
from relion_tables import relion_table

PIXEL = 1.5  # Nyquist at 3 Angstrom; a box of 48
SOME = {"rlnOriginXAngst": ["0", "0"], "rlnOriginYAngst": ["0", "0"]}


@pytest.mark.parametrize(
    ("optics", "particles", "what", "cost"),
    [
        ({"rlnBeamTiltX": "nan"}, {}, "no numbers", "2 particles have no number"),
        ({"rlnMagMat00": "None"}, {}, "no numbers", "2 particles have no number"),
        ({"rlnOddZernike": "[0,nan]"}, {}, "no numbers", "2 particles have no number"),
        ({"rlnEvenZernike": "what"}, {}, "no numbers", "2 particles have no number"),
        ({}, {"rlnCtfBfactor": ["36", "0"]}, "B-factors", "0.37 to 1 of what is assumed at 3"),
        ({}, {"rlnCtfBfactor": ["36", "36"]}, "B-factors", "0.37 of what"),
        ({}, {"rlnCtfScalefactor": ["0.5", "1.5"]}, "scale", "0.5 to 1.5 times"),
        ({}, {"rlnCtfScalefactor": ["0.5", "0.5"]}, "scale", "0.5 times"),
        ({}, {"rlnHelicalTubeID": ["1", "2"]}, "helical", "without helical symmetry"),
        ({}, {"rlnAnglePsiPrior": ["10", "nan"]}, "priors", "searched without"),
        ({}, {"rlnOriginXPriorAngst": ["0", "2"]}, "priors", "searched without"),
        ({}, {"rlnIsFlip": ["0", "1"]}, "mirroring", "1 images"),
        ({}, {"rlnCtfImage": ["c.mrc", "c.mrc"]}, "CTF from a file", "computed from defocus"),
        ({}, {"rlnCoordinateZ": ["12", "0"]}, "subtomograms", "single particles"),
        ({}, {"rlnTomoVisibleFrames": ["[1,1]", "[1,0]"]}, "subtomograms", "single particles"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dialect", ["3.0", "3.1"])
def test_relions_columns_are_told_with_their_cost(
    tmp_path: Path,
    dialect: str,
    optics: dict[str, str],
    particles: dict[str, list[str]],
    what: str,
    cost: str,
) -> None:
    if dialect == "3.1":
        path = relion_table(tmp_path, PIXEL, dict(optics), SOME | particles)
    else:
        spread = {name: [value] * 2 for name, value in optics.items()}
        sizes = {"rlnDetectorPixelSize": ["1.5"] * 2, "rlnMagnification": ["10000"] * 2}
        path = relion_table(tmp_path, None, None, SOME | sizes | spread | particles)
    (found,) = read_particles(path).not_modelled
    assert found.what.startswith(what) or what in found.what
    assert {*optics, *particles} == {*found.columns}
    assert cost in found.cost
    assert all(name in str(found) for name in found.columns)


@pytest.mark.parametrize(
    ("optics", "particles"),
    [
        ({"rlnBeamTiltX": "0.0", "rlnBeamTiltY": "0"}, {}),
        ({"rlnOddZernike": "[0,0,0,0,0,0]", "rlnEvenZernike": "[0,0,0]"}, {}),
        ({"rlnMagMat00": "1", "rlnMagMat01": "0", "rlnMagMat10": "0", "rlnMagMat11": "1.0"}, {}),
        ({"rlnBeamTiltX": "1.0", "rlnBeamTiltY": "0.5"}, {}),
        ({"rlnOddZernike": "[1,2,3]", "rlnEvenZernike": "[1,2,3]", "rlnMagMat00": "1.01"}, {}),
        ({}, {"rlnCtfBfactor": ["0", "0.0"], "rlnCtfScalefactor": ["1", "1.000000"]}),
        ({}, {"rlnHelicalTubeID": ["0", "0"], "rlnIsFlip": ["0", "0"]}),
        ({}, {"rlnCtfImage": ["None", "None"], "rlnCoordinateZ": ["0", "0"]}),
        ({}, {"rlnClassNumber": ["3", "4"], "rlnNormCorrection": ["0.9", "1.1"]}),
    ],
)
def test_neutral_columns_and_those_made_use_of_are_not_mentioned(
    tmp_path: Path, optics: dict[str, str], particles: dict[str, list[str]]
) -> None:
    path = relion_table(tmp_path, PIXEL, dict(optics), SOME | particles)
    assert read_particles(path).not_modelled == ()


@pytest.mark.parametrize(
    ("name", "values", "what", "cost"),
    [
        ("ctf/tilt_A", [np.nan, 1], "no numbers", "4 particles have no number"),
        ("ctf/anisomag", [0, 0, 0, np.inf], "no numbers", "4 particles have no number"),
        ("ctf/anisomag", [[1, 0], [0, 1]], "no numbers", "4 particles have no number"),
        ("ctf/trefoil_A", [10, 20], "trefoil", ""),
        ("ctf/tetra_A", [0, 0, 1, 0], "tetrafoil", ""),
        ("ctf/scale_const", 0.1, "constant", ""),
        ("ctf/shift_A", [0.3, 0.4], "image shift", "up to 0.5 Angstrom"),
        ("ctf/bfactor", 27.04, "B-factors", "0.37 of what"),
        ("ctf/scale", 0.5, "scale", "0.5 times"),
        ("filament/filament_uid", 7, "helical", "without helical symmetry"),
    ],
)
def test_cryosparcs_columns_are_told_with_their_cost(
    tmp_path: Path, name: str, values: object, what: str, cost: str
) -> None:
    kind = "<u8" if "uid" in name else "<f4"
    columns = full(4) | {name: np.array([values] * 4, kind)}
    (found,) = read_cryosparc(table(tmp_path / "p.cs", columns)).not_modelled
    assert found.columns == (name,)
    assert what in found.what and cost in found.cost


def test_a_coma_of_no_tilt_is_told(tmp_path: Path) -> None:
    """Where Cs is zero, no beam tilt of RELION's makes it: 2 pi lambda^2 (Cs t) s^3."""
    tilt = np.array([[3e3, -4e3]] * 4, "<f4")
    columns = full(4) | {"ctf/tilt_A": tilt, "ctf/cs_mm": np.zeros(4, "<f4")}
    stack = read_cryosparc(table(tmp_path / "p.cs", columns))
    (found,) = stack.not_modelled
    assert "beam tilt" in found.what and "up to 40 degrees at 2.6" in found.cost
    assert stack.optics[0].beam_tilt_mrad == (0, 0)


@pytest.mark.parametrize("anisomag", [[0, 0, 0, 0], [1, 0, 0, 1]])
def test_neutral_columns_of_cryosparc_are_not_mentioned(
    tmp_path: Path, anisomag: list[float]
) -> None:
    widths = {"shift_A": 2, "tilt_A": 2, "trefoil_A": 2, "tetra_A": 4}
    columns = full(4) | {f"ctf/{k}": np.zeros((4, width), "<f4") for k, width in widths.items()}
    columns |= {"ctf/bfactor": np.zeros(4, "<f4"), "ctf/scale": np.ones(4, "<f4")}
    columns |= {"ctf/anisomag": np.array([anisomag] * 4, "<f4")}
    columns |= {"filament/filament_uid": np.zeros(4, "<u8")}
    assert read_cryosparc(table(tmp_path / "p.cs", columns)).not_modelled == ()


@pytest.mark.parametrize("kind", [CRYOSPARC, CRYODRGN, RELION_30])
@pytest.mark.parametrize(
    ("name", "value", "lost"),
    [
        ("rlnBeamTiltX", "1", [CRYODRGN]),
        ("rlnMagMat00", "1.01", [CRYODRGN]),
        ("rlnHelicalTubeID", "1", [CRYODRGN]),
        ("rlnOddZernike", "[0,0,1]", [CRYODRGN, CRYOSPARC]),
        ("rlnEvenZernike", "[0,0,1]", [CRYODRGN, CRYOSPARC]),
        ("rlnCtfBfactor", "30", [CRYODRGN, CRYOSPARC]),
        ("rlnHelicalTrackLengthAngst", "30", [CRYODRGN, CRYOSPARC]),
    ],
)
def test_a_conversion_says_what_it_leaves_behind(
    tmp_path: Path, kind: str, name: str, value: str, lost: list[str]
) -> None:
    tubes = {"rlnHelicalTubeID": ["1", "1"]} if "Helical" in name else {}
    of_particles = {name: [value] * 2} if "Helical" in name else {}
    optics: dict[str, str | list[str]] = {} if of_particles else {name: value}
    stack = read_particles(relion_table(tmp_path, PIXEL, optics, SOME | tubes | of_particles))
    said = [note for note in losses(stack, kind, tmp_path / "out") if name in note]
    assert len(said) == (kind in lost)


@pytest.mark.parametrize("kind", [RELION_31, CRYODRGN, CRYOSPARC])
@pytest.mark.parametrize(
    ("name", "value", "lost"),
    [
        ("ctf/tilt_A", [3e3, -4e3], [CRYODRGN]),
        ("ctf/anisomag", [0.02, 0, 0, -0.01], [CRYODRGN]),
        ("filament/filament_uid", 7, [CRYODRGN]),
        ("location/micrograph_psize_A", 0.65, [CRYODRGN]),
        ("ctf/trefoil_A", [10, 20], [CRYODRGN, RELION_31]),
        ("ctf/tetra_A", [0, 0, 1, 0], [CRYODRGN, RELION_31]),
        ("ctf/bfactor", 27.04, [CRYODRGN, RELION_31]),
    ],
)
def test_so_does_one_of_cryosparcs(
    tmp_path: Path, kind: str, name: str, value: object, lost: list[str]
) -> None:
    columns = full(4) | {name: np.array([value] * 4, "<u8" if "uid" in name else "<f4")}
    stack = read_cryosparc(table(tmp_path / "p.cs", columns))
    said = [note for note in losses(stack, kind, tmp_path / "out") if name in note]
    assert len(said) == (kind in lost)
