"""The FSC XML that EMDB takes."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from cryospin.io.fsc_xml import write_fsc_xml


def test_coordinates_run_from_zero_frequency(tmp_path: Path) -> None:
    curve = torch.linspace(0.9, -0.1, 7, dtype=torch.float64)
    write_fsc_xml(tmp_path / "fsc.xml", curve, 16, 2.0, "a & b")
    root = ElementTree.parse(tmp_path / "fsc.xml").getroot()
    assert (root.tag, root.attrib["title"]) == ("fsc", "a & b")
    assert root.attrib["xaxis"] == "Resolution (A-1)"
    x = [float(point.findtext("x") or "nan") for point in root]
    y = [float(point.findtext("y") or "nan") for point in root]
    assert x == pytest.approx([shell / 32 for shell in range(8)], abs=1e-6)
    assert y[0] == 1.0 and y[1:] == pytest.approx(curve.tolist(), abs=1e-6)
