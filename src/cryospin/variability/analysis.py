"""From a finished run to components, coordinates and how far two half-sets agree on them.

Each half-set's components are found alone, from its own images and its own random start. What
crosses between the halves is the frame of their poses and the FSC curve of their maps, as in the
run itself; and, once both are done, the axes they are compared along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.errors import BadDataError, UsageError
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.parallel import single_threaded_torch
from cryospin.particles.prepare import prepare_particles
from cryospin.poses import Assignment
from cryospin.reconstruct.refinement import half_set_fsc, prior_of
from cryospin.refine.halves import HalfSet, residual_noise, rewhitened, sums_of
from cryospin.rotations.symmetry import symmetry_group
from cryospin.types import DensityMap
from cryospin.variability.agreement import Agreement, agreement_of, common_axes
from cryospin.variability.em import SubspaceEM
from cryospin.variability.finished import FinishedRun
from cryospin.variability.subspace import CentredImages, Coordinates, Subspace
from cryospin.volumes.gridded import SliceSums, map_of
from cryospin.volumes.resample import resized_map

MOST_COMPONENTS = 20
_IMAGES_PER_COMPONENT = 20  # of each half-set: fewer and the components are the images' noise
_FRAME_PERCENTILES = (5.0, 27.5, 50.0, 72.5, 95.0)
FRAMES = len(_FRAME_PERCENTILES)
_LEAST_RADIUS = 4.0

Progress = Callable[[str, int, int], None]
"""Called with a step's name, what is done and what there is in all."""


@dataclass(frozen=True)
class Variability:
    """Both half-sets' subspaces along common axes, the largest variance first.

    half_set: 1 or 2 of each particle, in the order of the run's table; coordinates, deviations:
        posterior mean and standard deviation of z, found with the maps of the particle's own half.
        scale: of each image's contrast, 1 on average.
    resolution_angstrom: of the finest detail used.
    """

    halves: tuple[Subspace, Subspace]
    agreement: Agreement
    half_set: Int[np.ndarray, " n"]
    coordinates: Float[Tensor, "n c"]
    deviations: Float[Tensor, "n c"]
    scale: Float[Tensor, " n"]
    resolution_angstrom: float
    box: int
    pixel_size_angstrom: float
    log_evidence: tuple[float, float]

    def __len__(self) -> int:
        """How many components."""
        return self.coordinates.shape[1]

    @property
    def mean(self) -> Subspace:
        """Of the halves."""
        return Subspace(0.5 * (self.halves[0].maps + self.halves[1].maps))

    def in_the_box(self, values: Float[Tensor, "g g g"]) -> DensityMap:
        """One of the maps on the voxels of the run's."""
        return DensityMap(resized_map(values, self.box), self.pixel_size_angstrom)

    def frame_coordinates(self, component: int) -> Float[np.ndarray, " f"]:
        """Where along a component (0-based) maps are shown: percentiles of the coordinates."""
        along = self.coordinates[:, component].double().numpy()
        return np.percentile(along, _FRAME_PERCENTILES)

    def frame(self, component: int, coordinate: float) -> DensityMap:
        """V_0 + z V_j."""
        maps = self.mean.maps
        return self.in_the_box(maps[0] + coordinate * maps[1 + component])


def analyze(
    run: FinishedRun,
    method: SubspaceEM,
    resolution_angstrom: float | None = None,
    mask: DensityMap | None = None,
    progress: Progress = lambda step, done, total: None,
) -> Variability:
    """Find the components of each half-set of a run and what they have in common.

    resolution_angstrom: finer detail is not used; default twice the run's own resolution.
    mask: components are zero outside; default the run's.

    Raises
    ------
    UsageError: too few or too many components, or a resolution too coarse.
    BadDataError: too few images, or images that cannot be read.
    """
    check_components(run, method.components)
    radius = radius_of(run, resolution_angstrom)
    with single_threaded_torch():
        prepared = [_half_set(run, number, radius, progress) for number in (1, 2)]
        radius = prepared[0].particles.disk.radius
        grid = min(run.stack.box, 2 * int(np.ceil(radius + 2)))
        inside = resized_map((mask or run.mask).values, grid).clamp(0, 1)
        operators = symmetry_group(str(run.result.get("symmetry", "C1"))).float()
        found = _found_apart(prepared, method, inside, operators, progress)
        return _along_common_axes(run, found, radius)


def check_components(run: FinishedRun, components: int) -> None:
    """Raise UsageError or BadDataError where so many cannot be found in this run."""
    if not 1 <= components <= MOST_COMPONENTS:
        raise UsageError(f"components must be 1 to {MOST_COMPONENTS}, not {components}")
    fewest = min(int((run.half_set == number).sum()) for number in (1, 2))
    if fewest < _IMAGES_PER_COMPONENT * components:
        raise BadDataError(
            f"{fewest} images in a half-set are too few for {components} components",
            file=run.stack.source,
            fix=f"ask for {fewest // _IMAGES_PER_COMPONENT} components or fewer, of more images",
        )


def radius_of(run: FinishedRun, resolution_angstrom: float | None) -> float:
    """Of the detail to be used, in Fourier pixels; what moves is blurred, and coarse detail has
    most of the signal, so the default is twice the run's resolution (FSC 0.143)."""
    stack = run.stack
    field = stack.box * stack.pixel_size_angstrom
    if resolution_angstrom is None:
        found = run.result.get("resolution_angstrom", {}).get("fsc_0.143")
        resolution_angstrom = 2.0 * (found or 2.0 * stack.pixel_size_angstrom)
        return max(_LEAST_RADIUS, min(field / resolution_angstrom, stack.box / 2 - 1))
    if not 0 < resolution_angstrom <= field / _LEAST_RADIUS:
        raise UsageError(
            f"a resolution of {resolution_angstrom:g} Angstrom is too coarse for a box of "
            f"{field:.0f} Angstrom\n  fix: give {field / _LEAST_RADIUS:.0f} Angstrom or finer"
        )
    return min(field / resolution_angstrom, stack.box / 2 - 1)


def _half_set(run: FinishedRun, number: int, radius: float, progress: Progress) -> HalfSet:
    """The images as they are, not masked: what lies around the particle is noise to the model."""
    stack = run.stack
    rows = np.flatnonzero(run.half_set == number)
    particles = prepare_particles(
        stack.select(rows),
        max_resolution_angstrom=stack.box * stack.pixel_size_angstrom / radius,
        mask_diameter_angstrom=(run.result.get("particle") or {}).get("mask_diameter_angstrom"),
        masked=False,
        progress=partial(progress, f"read half-set {number}"),
    )
    poses = run.poses.select(torch.as_tensor(rows))
    shifts = (poses.shifts_angstrom / stack.pixel_size_angstrom).float()
    half = HalfSet(particles, Assignment.known(poses.rotations.float(), shifts))
    return half.with_poses(confidence=poses.confidence.float())


def _found_apart(
    halves: list[HalfSet],
    method: SubspaceEM,
    inside: Float[Tensor, "g g g"],
    operators: Float[Tensor, "o 3 3"],
    progress: Progress,
) -> list[tuple[Subspace, Coordinates]]:
    """Each half's own maps and coordinates, along axes of its own."""
    curve = _curve_of(halves, inside, operators)
    found = []
    for number, half in enumerate(halves, 1):
        half = _whitened(half, curve, inside, operators)
        radius = half.particles.disk.radius
        images = CentredImages.of(half, radius)
        prior = prior_of(sums_of(half, radius, operators), curve)
        step = partial(progress, f"components of half-set {number}")
        found.append(method.run(images, inside, prior, operators, number, step))
    return found


def _along_common_axes(
    run: FinishedRun, found: list[tuple[Subspace, Coordinates]], radius: float
) -> Variability:
    """Both halves' maps and coordinates along one set of axes, in the order of the run's table."""
    bases = common_axes(found[0][0], found[1][0])
    first, second = (maps.changed(basis) for (maps, _), basis in zip(found, bases, strict=True))
    placed = [place.changed(basis) for (_, place), basis in zip(found, bases, strict=True)]
    count = len(run.half_set)
    coordinates = torch.empty(count, len(first.components))
    deviations, scale = torch.empty_like(coordinates), torch.empty(count)
    for number, each in enumerate(placed, 1):
        rows = torch.as_tensor(np.flatnonzero(run.half_set == number))
        coordinates[rows], deviations[rows], scale[rows] = each.along, each.deviation, each.scale
    box, pixel = run.stack.box, run.stack.pixel_size_angstrom
    return Variability(
        halves=(first, second),
        agreement=agreement_of(first, second, int(radius)),
        half_set=run.half_set,
        coordinates=coordinates,
        deviations=deviations,
        scale=scale,
        resolution_angstrom=box * pixel / radius,
        box=box,
        pixel_size_angstrom=pixel,
        log_evidence=(placed[0].log_evidence, placed[1].log_evidence),
    )


def _curve_of(
    halves: list[HalfSet], inside: Float[Tensor, "g g g"], operators: Float[Tensor, "o 3 3"]
) -> ShellCurve:
    """FSC of the halves' maps to the radius used: all they know of each other."""
    radius = halves[0].particles.disk.radius
    sums: tuple[SliceSums, SliceSums] = (
        sums_of(halves[0], radius, operators),
        sums_of(halves[1], radius, operators),
    )
    return half_set_fsc(sums, radius, halves[0].particles.disk.box, inside)


def _whitened(
    half: HalfSet,
    curve: ShellCurve,
    inside: Float[Tensor, "g g g"],
    operators: Float[Tensor, "o 3 3"],
) -> HalfSet:
    """Under the noise spectrum of what the half's own map leaves of its images."""
    disk = half.particles.disk
    sums = sums_of(half, disk.radius, operators)
    density = map_of(sums, prior_of(sums, curve), disk.radius, disk.box, inside)
    return rewhitened(half, residual_noise(half, density, disk.radius))
