"""How far two maps agree: what `cryospin fsc` prints."""

from __future__ import annotations

from typing import Any

from cryospin.fourier.fsc import (
    fourier_shell_correlation,
    resolution_at,
    shell_resolutions_angstrom,
)
from cryospin.types import DensityMap
from cryospin.volumes.alignment import align_maps, apply_alignment, check_comparable
from cryospin.volumes.resolution import half_map_resolution


def fsc(
    first: DensityMap,
    second: DensityMap,
    mask: DensityMap | None = None,
    *,
    align: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute the Fourier shell correlation of two maps: `cryospin fsc`.

    Parameters
    ----------
    first, second : DensityMap
        Maps of one box and voxel size.
    mask : DensityMap, optional
        In the frame of `second`. It adds the curves "masked" and "corrected"; the latter is
        free of the mask's own effect, by phase randomisation (Chen et al. 2013).
    align : bool
        Move `first` onto `second` before: rotation, shift and hand.
    seed : int
        Of the random phases.

    Returns
    -------
    dict
        Ready for JSON: the curves by name ("fsc"), where they cross 0.5 and 0.143
        ("resolution_angstrom"), the resolution of each shell ("shell_angstrom"), and how
        `first` was moved ("alignment").

    Raises
    ------
    BadDataError
        The maps differ in box or voxel size.
    """
    check_comparable(first, second)
    placed: dict[str, Any] | None = None
    if align:
        alignment = align_maps(first, second)
        first = apply_alignment(first, alignment)
        placed = {
            "rotation": alignment.rotation.tolist(),
            "shift_angstrom": alignment.shift_angstrom.tolist(),
            "flipped": alignment.flipped,
            "correlation": alignment.correlation,
        }
    box, pixel = second.box, second.pixel_size_angstrom
    found = {"unmasked": fourier_shell_correlation(first.values, second.values)}
    halves = None if mask is None else half_map_resolution(first, second, mask, seed)
    if halves is not None:
        found |= {"masked": halves.masked, "corrected": halves.corrected}
    crossings = {
        name: {f"fsc_{at}": resolution_at(curve, at, box, pixel) for at in (0.5, 0.143)}
        for name, curve in found.items()
    }
    if halves is not None:  # which also tells agreement from chance
        crossings["corrected"] = {
            "fsc_0.5": halves.resolution_05_angstrom,
            "fsc_0.143": halves.resolution_0143_angstrom,
        }
    return {
        "resolution_angstrom": crossings,
        "shell_angstrom": shell_resolutions_angstrom(box, pixel).tolist(),
        "fsc": {name: curve.tolist() for name, curve in found.items()},
        "alignment": placed,
    }
