"""`cryospin postprocess`: from two half-maps to a weighted, sharpened map and its FSC."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option


def postprocess(
    half1: Annotated[Path, Argument(help="A half-map (.mrc).", metavar="HALF1.mrc")],
    half2: Annotated[Path, Argument(help="The other one.", metavar="HALF2.mrc")],
    out: Annotated[Path, Option(help="Folder to write into.")],
    mask: Annotated[Path | None, Option(help="Soft mask; default: made from the map.")] = None,
    b_factor: Annotated[
        float | None, Option(help="Angstrom^2, negative sharpens; default: a Guinier fit.")
    ] = None,
    seed: Annotated[int, Option(help="Of the random phases that measure the mask.")] = 0,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Weight two half-maps' mean by their mask-corrected FSC, sharpen and mask it.

    Writes postprocessed.mrc, mask.mrc, fsc.star and fsc.xml, which is what EMDB asks for
    beside the half-maps and the mask.
    """
    from cryospin.io.fsc_xml import write_fsc_xml
    from cryospin.io.mrc import read_map, write_map
    from cryospin.io.outputs import Outputs, check_outputs, claimed
    from cryospin.reconstruct.outputs import write_fsc
    from cryospin.volumes.postprocess import postprocess_halves

    inputs = (half1, half2, *(() if mask is None else (mask,)))
    outputs = Outputs(("postprocessed.mrc", "mask.mrc", "fsc.star", "fsc.xml"))
    one, two = read_map(half1), read_map(half2)
    shape = None if mask is None else read_map(mask)
    check_outputs(out, outputs, inputs)
    done = postprocess_halves(one, two, shape, b_factor, seed)
    with claimed(out, outputs, inputs, 2 * 4 * one.box**3 + 1_000_000):
        write_map(out / "postprocessed.mrc", done.density)
        write_map(out / "mask.mrc", done.mask)
        write_fsc(out / "fsc.star", done.resolution)
        curve, pixel = done.resolution.corrected, one.pixel_size_angstrom
        write_fsc_xml(out / "fsc.xml", curve, one.box, pixel, "cryospin masked-corrected FSC")
    told: dict[str, Any] = {
        "resolution_angstrom": {
            "fsc_0.143": done.resolution.resolution_0143_angstrom,
            "fsc_0.5": done.resolution.resolution_05_angstrom,
        },
        "b_factor_angstrom2": done.b_factor_angstrom2,
        "map": str(out / "postprocessed.mrc"),
    }
    print(json.dumps(told, indent=2) if as_json else in_words(told))


def in_words(told: dict[str, Any]) -> str:
    sharpened = "not sharpened: too little beyond 10 Angstrom for a Guinier fit"
    if told["b_factor_angstrom2"] is not None:
        sharpened = f"B {told['b_factor_angstrom2']:.0f} Angstrom^2"
    resolution = told["resolution_angstrom"]["fsc_0.143"]
    return f"{told['map']}: {resolution:.2f} Angstrom (FSC 0.143), {sharpened}"
