"""Superimposing two maps of the same particle: rotation, shift and hand.

Two ab-initio maps, of two half-sets or of one and the truth, differ by an arbitrary
rotation, a shift of a few pixels and perhaps the hand. One convention holds throughout:
a point x of the moving map lies at

    x' = Q M^f x + s,   M = diag(1, 1, -1), f = 1 where the hand is flipped

in the frame of the reference, Angstrom from the box centre.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from cryospin.errors import BadDataError
from cryospin.rotations.align import MIRROR, mirror_rotations
from cryospin.types import DensityMap, Poses
from cryospin.volumes.alignment_search import BOTH_HANDS, search
from cryospin.volumes.resample import sample_on_grid
from cryospin.volumes.spectrum_pair import correlation, spectrum_pair


@dataclass(frozen=True)
class MapAlignment:
    """x' = rotation M^flipped x + shift takes the moving map onto the reference.

    correlation: of the two maps once superimposed, all Fourier coefficients up to the
        resolution the alignment was allowed to use.
    """

    rotation: Float[Tensor, "3 3"]
    shift_angstrom: Float[Tensor, " 3"]
    flipped: bool
    correlation: float

    def __post_init__(self) -> None:
        # on the CPU, also where the state it is part of was recalled or sent to a card
        object.__setattr__(self, "rotation", self.rotation.cpu())
        object.__setattr__(self, "shift_angstrom", self.shift_angstrom.cpu())


def align_maps(
    moving: DensityMap,
    reference: DensityMap,
    max_resolution_angstrom: float | None = None,
    hands: tuple[bool, ...] = BOTH_HANDS,
) -> MapAlignment:
    """The rotation, shift and hand that bring `moving` onto `reference`, over all of SO(3).

    Deterministic. Coarse exhaustive search on the lowest shells, then refinement to ever
    higher ones, up to `max_resolution_angstrom` (default: Nyquist); the shells that do not
    agree weigh nothing. Maps that agree nowhere give some placement: look at the FSC.
    hands: values of `flipped` that are tried.

    Raises BadDataError for maps of unequal box or voxel size, and for odd boxes.
    """
    check_comparable(moving, reference)
    box, pixel = reference.box, reference.pixel_size_angstrom
    if box % 2:
        raise BadDataError(f"cannot align maps of {box} voxels", fix="pad to an even box")
    largest = box // 2 - 1
    if max_resolution_angstrom is not None:
        largest = max(1, min(largest, int(box * pixel / max_resolution_angstrom)))
    pair = spectrum_pair(moving.values, reference.values, largest)
    placement = search(pair, largest, hands)
    return MapAlignment(
        rotation=placement.rotation,
        shift_angstrom=placement.shift_pixel * pixel,
        flipped=placement.flipped,
        correlation=correlation(pair, placement),
    )


def apply_alignment(density: DensityMap, alignment: MapAlignment) -> DensityMap:
    """The map moved: aligned(x') = map(M^f Q^T (x' - s)); zero where it has no data."""
    inverse = alignment.rotation.double().T
    matrix = MIRROR @ inverse if alignment.flipped else inverse
    offset = -matrix @ alignment.shift_angstrom.double()
    return sample_on_grid(density, matrix, offset, density.box, density.pixel_size_angstrom)


def poses_after_alignment(poses: Poses, alignment: MapAlignment) -> Poses:
    """Poses that give the same images from the moved map.

    From `x = M^f Q^T (x' - s)`: R' = M^f R M^f Q^T (the M on the left turns a mirror into a
    rotation and only changes the sign of view z, which projections do not see), and
    t' = t - (R' s)_xy.
    """
    rotation = alignment.rotation.to(poses.rotations)
    rotations = mirror_rotations(poses.rotations) if alignment.flipped else poses.rotations
    rotations = rotations @ rotation.T
    moved = rotations.double() @ alignment.shift_angstrom.double()
    shifts = poses.shifts_angstrom - moved[:, :2].to(poses.shifts_angstrom)
    return Poses(rotations, shifts, poses.confidence)


def check_comparable(first: DensityMap, second: DensityMap) -> None:
    """Raises BadDataError unless the maps have one box and one voxel size."""
    if first.box != second.box:
        raise BadDataError(
            f"maps of {first.box} and {second.box} voxels cannot be compared",
            fix="resample or pad one of them",
        )
    one, two = first.pixel_size_angstrom, second.pixel_size_angstrom
    # headers hold the cell in single precision, and are often rounded to 0.01 Angstrom
    if abs(one - two) > 2e-3 * one:
        raise BadDataError(
            f"voxel sizes of {one:.4f} and {two:.4f} Angstrom cannot be compared",
            fix="resample one of the maps, or correct its header",
        )
