"""From a run's folder to components: what is in the data is found in both halves, what is not in
neither."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryospin.errors import BadDataError, UsageError
from cryospin.variability.agreement import in_words
from cryospin.variability.analysis import Variability, analyze, radius_of
from cryospin.variability.em import SubspaceEM
from cryospin.variability.finished import FinishedRun, read_finished_run
from variability_toys import BOX, PIXEL, LinearPhantom, correlations, principal_cosines


@pytest.fixture(scope="module")
def run(varied_run: Path) -> FinishedRun:
    return read_finished_run(varied_run)


@pytest.fixture(scope="module")
def found(run: FinishedRun) -> Variability:
    return analyze(run, SubspaceEM(2, iterations=10))


def test_components_and_coordinates_are_those_of_the_data(
    found: Variability, run: FinishedRun, true_coordinates: torch.Tensor
) -> None:
    assert found.agreement.reproducible == 2 and len(found) == 2
    assert (correlations(found.coordinates, true_coordinates) > 0.95).all()
    boxed = torch.stack([found.in_the_box(each).values for each in found.mean.components])
    true = LinearPhantom.of(2).densities(BOX)[1:] * run.mask.values
    assert (principal_cosines(boxed, true) > 0.85).all()


def test_coordinates_of_the_halves_lie_on_one_scale(
    found: Variability, true_coordinates: torch.Tensor
) -> None:
    """The fit of one half to the truth holds for the other: axes and signs are common."""
    halves = [torch.as_tensor(found.half_set == number) for number in (1, 2)]
    design = torch.cat([found.coordinates, torch.ones(len(found.half_set), 1)], dim=1)
    fit = torch.linalg.lstsq(design[halves[0]], true_coordinates[halves[0]]).solution
    residual = (design @ fit - true_coordinates)[halves[1]]
    # of coordinates with a deviation of 1; axes turned or signs lost would leave 1 and more
    assert residual.std() < 0.4
    # a background of 400 pixels, which images are normalised by, is known to 4 %
    assert float(found.scale.mean()) == pytest.approx(1.0, abs=0.02)
    assert 0.01 < float(found.scale.std()) < 0.1
    assert (found.deviations > 0).all() and (found.deviations < 0.5).all()


def test_maps_are_in_the_units_of_the_runs(found: Variability, run: FinishedRun) -> None:
    """V_0 is the run's map: what one divides by the other is 1."""
    mean = found.in_the_box(found.mean.mean).values
    true = 80.0 * LinearPhantom.of(0).mean.density(BOX).float() * run.mask.values
    scale = float((mean * true).sum() / true.square().sum())
    # images are scaled to a background of deviation 1, in which there is some signal
    assert scale == pytest.approx(1.0, abs=0.15)
    frame = found.frame(1, 2.0).values
    along = found.in_the_box(found.mean.components[1]).values
    torch.testing.assert_close(frame, mean + 2.0 * along, atol=1e-4, rtol=1e-3)
    places = found.frame_coordinates(0)
    assert (np.diff(places) > 0).all() and places[0] < -1 < 1 < places[-1]


def test_particles_that_are_all_the_same_have_no_components(homogeneous_run: Path) -> None:
    agreement = analyze(read_finished_run(homogeneous_run), SubspaceEM(2, iterations=10)).agreement
    assert agreement.reproducible == 0 and agreement.correlation.max() < 0.4
    assert in_words(agreement)[0].startswith("No reproducible variability")


def test_the_radius_is_half_the_runs(run: FinishedRun) -> None:
    assert radius_of(run, None) == pytest.approx(BOX * PIXEL / 16.0)
    assert radius_of(run, 12.8) == pytest.approx(10.0)
    assert radius_of(run, 1.0) == BOX / 2 - 1
    unresolved = replace(run, result={"resolution_angstrom": {"fsc_0.143": None}})
    assert radius_of(unresolved, None) == pytest.approx(BOX / 4)
    with pytest.raises(UsageError, match="(?s)too coarse.*32 Angstrom or finer"):
        radius_of(run, 100.0)


@pytest.mark.parametrize("components", [0, 21])
def test_no_or_too_many_components_are_refused(run: FinishedRun, components: int) -> None:
    with pytest.raises(UsageError, match="1 to 20"):
        analyze(run, SubspaceEM(components))


def test_too_few_images_are_refused(run: FinishedRun) -> None:
    with pytest.raises(BadDataError, match="(?s)120 images in a half-set.*7 components"):
        analyze(run, SubspaceEM(7))
