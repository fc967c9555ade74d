"""FSC curves in the XML that EMDB takes with a deposition: coordinates of 1/Angstrom and FSC."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from jaxtyping import Float
from torch import Tensor

from cryospin.io.atomic import atomic_path


def write_fsc_xml(
    path: Path | str,
    curve: Float[Tensor, " s"],
    box: int,
    pixel_size_angstrom: float,
    title: str,
) -> None:
    """A curve over shells 1 .. d/2 - 1; the point at frequency 0 is 1 by definition.

    Raises
    ------
    ResourceError: the disk does not take it.
    """
    attributes = {
        "title": title,
        "xaxis": "Resolution (A-1)",
        "yaxis": "Correlation Coefficient",
    }
    root = ElementTree.Element("fsc", attributes)
    for shell, value in enumerate([1.0, *curve.tolist()]):
        point = ElementTree.SubElement(root, "coordinate")
        ElementTree.SubElement(point, "x").text = f"{shell / (box * pixel_size_angstrom):.6f}"
        ElementTree.SubElement(point, "y").text = f"{value:.6f}"
    ElementTree.indent(root)
    with atomic_path(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="UTF-8", xml_declaration=True)
