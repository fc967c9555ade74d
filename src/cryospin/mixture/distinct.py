"""Are two classes two structures? Only if both half-sets, which never met, find them different,
and alike different.

A split of images that are all of one structure follows their noise: in the other half's maps the
images fall into other classes, and what distinguishes the maps of one half is not what
distinguishes those of the other. Nor is one structure two because a joint search found it twice, in
two frames: laid upon one another such maps are alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cryospin.fourier.fsc import (
    correlate_shells,
    fourier_shell_correlation,
    shell_sums,
    shells_of_spectrum,
)
from cryospin.fourier.shell_curve import ShellCurve
from cryospin.fourier.volume import volume_spectrum
from cryospin.mixture.classed_half import ClassedHalves, class_losses
from cryospin.reconstruct.joining import laid_upon
from cryospin.types import DensityMap

_LEAST_KAPPA = 0.1
_LEAST_DIFFERENCE = 0.2
_NEARLY = 0.9  # of the radius compared within, to which maps laid upon one another are one


@dataclass(frozen=True)
class Likeness:
    """Of two classes. kappa: Cohen's (1960) agreement, beyond chance, of the class an image is in
    with the one it would be in by the other half's maps. difference: mean FSC of the two halves'
    difference maps. turned: whether their maps are alike only when laid upon one another; then the
    other two say nothing.
    """

    one: int
    other: int
    kappa: float
    difference: float
    turned: bool = False

    @property
    def same(self) -> bool:
        return self.turned or self.kappa < _LEAST_KAPPA or self.difference < _LEAST_DIFFERENCE


def compare_classes(
    halves: ClassedHalves, maps: tuple[list[Tensor], list[Tensor]], radius: float
) -> list[Likeness]:
    """Every two classes. maps: of each half and class (`refinement.class_maps`), in one frame;
    radius: Fourier pixels to compare within."""
    there = [
        class_losses(half.sets, maps[1 - number], radius) for number, half in enumerate(halves)
    ]
    found = []
    for one in range(halves[0].classes):
        for other in range(one + 1, halves[0].classes):
            own, crossed = [], []
            for half, losses in zip(halves, there, strict=True):
                members = (half.numbers == one) | (half.numbers == other)
                own.append(half.numbers[members] == one)
                crossed.append((losses[:, one] < losses[:, other])[members])
            kappa = cohens_kappa(torch.cat(own), torch.cat(crossed))
            differences = [difference_spectrum(m[one], m[other]) for m in maps]
            curve = correlate_shells(*differences)[: int(radius)]
            likeness = Likeness(one, other, kappa, float(curve.mean()))
            if not likeness.same:
                turned = all(alike_when_turned(m[one], m[other], radius) for m in maps)
                likeness = replace(likeness, turned=turned)
            found.append(likeness)
    return found


def alike_when_turned(
    one: Float[Tensor, "g g g"], other: Float[Tensor, "g g g"], radius: float
) -> bool:
    """Whether two maps are alike nearly to `radius`, in Fourier pixels, once one is laid upon the
    other, and not as they are."""
    reference, moving = DensityMap(one.cpu(), 1.0), DensityMap(other.cpu(), 1.0)
    enough = _NEARLY * radius
    curve = fourier_shell_correlation(reference.values, moving.values)
    if ShellCurve.of_fsc(curve, radius).crossing(0.5) >= enough:
        return False
    return laid_upon(moving, reference, radius)[1].crossing(0.5) >= enough


def told_apart(likenesses: list[Likeness], agreement: tuple[float, ...], least: float) -> int:
    """How many classes, of those whose maps agree between the half-sets to the radius `least`, are
    different structures, each from each; those that agree best come first."""
    same = {frozenset((each.one, each.other)) for each in likenesses if each.same}
    kept: list[int] = []
    for number in sorted(range(len(agreement)), key=lambda c: -agreement[c]):
        if agreement[number] >= least and not any({number, other} in same for other in kept):
            kept.append(number)
    return len(kept)


def confusion_between(
    halves: ClassedHalves, maps: tuple[list[Tensor], list[Tensor]], radius: float
) -> Int[Tensor, "c c"]:
    """Of the images in each class (row), how many would be in which by the other half's maps."""
    count = halves[0].classes
    table = torch.zeros(count * count, dtype=torch.long)
    for number, half in enumerate(halves):
        there = class_losses(half.sets, maps[1 - number], radius).argmin(dim=1)
        own = half.numbers
        cell = (own * count + there)[own >= 0]
        table += torch.bincount(cell.cpu(), minlength=count * count)
    return table.view(count, count)


def cohens_kappa(first: Tensor, second: Tensor) -> float:
    """Agreement of two yes-or-no decisions beyond chance (Cohen 1960); 0 where there is but one
    answer."""
    if len(first) == 0:
        return 0.0
    a, b = float(first.double().mean()), float(second.double().mean())
    chance = a * b + (1 - a) * (1 - b)
    agreed = float((first == second).double().mean())
    return 0.0 if chance > 1 - 1e-9 else (agreed - chance) / (1 - chance)


def difference_spectrum(one: Float[Tensor, "g g g"], other: Float[Tensor, "g g g"]) -> Tensor:
    """What one map has beyond the other, scaled to it shell by shell: a map that is only stronger
    or sharper is no other structure."""
    first, second = volume_spectrum(one), volume_spectrum(other)
    power = shell_sums(second.abs().square())
    scale = shell_sums((first * second.conj()).real) / power.clamp_min(1e-30)
    shells = _shells(len(one), len(scale))
    weights = torch.nn.functional.pad(scale.float(), (1, 1)).to(first.device)
    return first - weights[shells] * second


def _shells(grid: int, count: int) -> Tensor:
    return shells_of_spectrum(grid).clamp_max(count + 1)
