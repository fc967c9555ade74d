"""The folded matrix products against a brute-force sum over every hypothesis, by the twins.

Log-likelihoods reach tens of nats and are computed in float32: to about 1e-5 nats, hence
weights to a relative 1e-4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from cryospin.explore.posterior import GridPosterior, best_hypotheses, grid_posterior
from cryospin.fourier.disk import FourierDisk, shift_phases
from cryospin.fourier.image_batch import ImageBatch
from cryospin.fourier.parity import ParityFold
from cryospin.kernels import insert_slices, margin_for, slice_volume
from cryospin.kernels.dispatch import reference_only
from cryospin.rotations.grid import VIEW_HALF_TURNS, OrientationGrid
from cryospin.volumes.gridded import complete_friedel
from phantoms import Blobs, angles_degrees, disk_coefficients, random_turns

BOX = 24
DISK = FourierDisk.of(BOX, 5.0)
FOLD = ParityFold.of(DISK)
GRID = OrientationGrid.of(2, 10).turned(random_turns(1, seed=1)[0].float())
MARGIN = margin_for(DISK.radius)
BLOBS = Blobs.random(2, spread=4.5, sigma=1.2)
VOLUME = BLOBS.volume(MARGIN, BOX)
SHIFTS = torch.tensor([[x, y] for x in (-1.5, 0.0, 1.5) for y in (-1.0, 1.0)])


@dataclass(frozen=True)
class Problem:
    images: Tensor
    ctf: Tensor

    @classmethod
    def of(cls, count: int, seed: int, signal: float) -> Problem:
        generator = torch.manual_seed(seed)
        ctf = signal * (2 * torch.rand(count, len(DISK), generator=generator).double() - 1)
        shifts = 3 * torch.rand(count, 2, generator=generator).double() - 1.5
        true = BLOBS.coefficients(random_turns(count, seed), DISK, shifts)
        return cls(ctf * true + disk_coefficients(count, DISK, seed), ctf)

    def arguments(self) -> tuple:
        """For the functions under test: float32."""
        slices = slice_volume(VOLUME, GRID.base.double(), DISK).to(torch.complex64)
        images = ImageBatch(self.images.to(torch.complex64), self.ctf.float(), DISK)
        return slices, images, SHIFTS

    def log_likelihoods(self) -> Tensor:
        """2 Re <x, m> - |m|^2 for every (image, half-turn, base, shift), float64."""
        every = VIEW_HALF_TURNS[:, None].double() @ GRID.base.double()
        slices = slice_volume(VOLUME, every.reshape(-1, 3, 3), DISK)
        scores = []
        phases = shift_phases(SHIFTS.double(), DISK)
        for image, ctf in zip(self.images, self.ctf, strict=True):
            model = ctf * phases[None] * slices[:, None]
            scores.append(2 * (image.conj() * model).real.sum(-1) - model.abs().square().sum(-1))
        return torch.stack(scores).view(len(self.images), 4, len(GRID.base), len(SHIFTS))

    def weights(self, temperature: float) -> Tensor:
        scores = self.log_likelihoods() / temperature
        return torch.softmax(scores.flatten(1), dim=1).view_as(scores)


def strength(signal: float) -> Problem:
    return Problem.of(5, seed=3, signal=signal)


@pytest.fixture(params=["compiled", "reference"])
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test is passed by the compiled kernels and by their plain twins."""
    with reference_only() if request.param == "reference" else nullcontext():
        yield


pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture(scope="module", params=[2.0, 20.0], ids=["weak", "strong"])
def problem(request: pytest.FixtureRequest) -> Problem:
    return strength(request.param)


def posterior(problem: Problem, temperature: float = 1.0) -> GridPosterior:
    return grid_posterior(*problem.arguments(), temperature)


def test_the_example_has_soft_and_hard_posteriors() -> None:
    peaks = [strength(signal).weights(1.0).flatten(1).amax(1) for signal in (2.0, 20.0)]
    assert peaks[0].max() < 0.5 and peaks[1].max() > 0.5


def test_evidence_is_the_log_mean_likelihood(problem: Problem) -> None:
    scores = problem.log_likelihoods().flatten(1)
    expected = torch.logsumexp(scores, dim=1) - torch.log(torch.tensor(scores.shape[1]).double())
    torch.testing.assert_close(posterior(problem).evidence.double(), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_sums_are_those_of_every_weighted_hypothesis(problem: Problem, temperature: float) -> None:
    """Inserted at the base orientations, they give what inserting every image at every
    hypothesis (half-turned ones at their own orientation) by its weight gives."""
    found = posterior(problem, temperature)
    base = GRID.base.double()
    ours = insert_slices(
        found.numerator.to(torch.complex128), found.denominator.double(), base, DISK, MARGIN
    )
    weights = problem.weights(temperature)
    phases = shift_phases(SHIFTS.double(), DISK)
    data = (problem.ctf * problem.images)[:, None] * phases.conj()
    values = torch.einsum("ivgt,itk->vgk", weights.to(data.dtype), data)
    power = torch.einsum("ivgt,ik->vgk", weights, problem.ctf.square())
    every = (VIEW_HALF_TURNS[:, None].double() @ base).reshape(-1, 3, 3)
    expected = insert_slices(values.flatten(0, 1), power.flatten(0, 1), every, DISK, MARGIN)
    for a, b in zip(ours, expected, strict=True):
        a, b = complete_friedel(a), complete_friedel(b)
        assert (a - b).abs().max() < 1e-4 * b.abs().max()


def test_each_image_counts_once(problem: Problem) -> None:
    """Over all base slices the denominators add up to C^2, spread over the half-turns."""
    total = posterior(problem).denominator.sum(0).double()
    even = FOLD.fold_even(total)[0]
    expected = FOLD.fold_even(problem.ctf.square().sum(0))[0]
    torch.testing.assert_close(even, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_is_the_sum_of_its_images(problem: Problem) -> None:
    whole = posterior(problem)
    parts = []
    for i in range(len(problem.images)):
        row = slice(i, i + 1)
        alone = Problem(problem.images[row], problem.ctf[row])
        parts.append(posterior(alone))
    numerator = sum(part.numerator for part in parts)
    torch.testing.assert_close(whole.numerator, numerator, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(whole.evidence, torch.cat([part.evidence for part in parts]))


@pytest.mark.parametrize("count", [1, 3, 6])
def test_hypotheses_are_the_greedy_peaks(problem: Problem, count: int) -> None:
    found = best_hypotheses(GRID, *problem.arguments(), count)
    assert found.rotations.shape == (len(problem.images), count, 3, 3)
    every = (VIEW_HALF_TURNS[:, None] @ GRID.base).reshape(-1, 3, 3)
    scores = problem.log_likelihoods().flatten(1, 2)
    for i, orientations in enumerate(scores.amax(dim=-1)):
        left = orientations.clone()
        for h in range(count):
            apart = angles_degrees(every, found.rotations[i, h].expand_as(every))
            member = int(apart.argmin())
            assert apart[member] < 0.05, "a hypothesis is a member of the grid"
            assert left[member] > left.max() - 1e-3, "the best of those left"
            shift = (SHIFTS - found.shifts_pixel[i, h]).norm(dim=1).argmin()
            assert scores[i, member, shift] > scores[i, member].max() - 1e-3, "at its best shift"
            left[apart < 1.8 * GRID.spacing_degrees] = -torch.inf
        assert torch.isfinite(left).any()


def test_hypotheses_keep_their_distance(problem: Problem) -> None:
    rotations = best_hypotheses(GRID, *problem.arguments(), 6).rotations
    for i in range(6):
        for j in range(i):
            apart = angles_degrees(rotations[:, i], rotations[:, j])
            # float32 cosines of the half angle
            assert (apart > 1.8 * GRID.spacing_degrees - 0.1).all()


def test_noiseless_image_on_the_grid_is_found() -> None:
    half_turn, base, shift = torch.tensor([2, 0, 3]), torch.tensor([7, 50, 11]), [4, 0, 3]
    rotations = GRID.rotations(half_turn, base).double()
    slices = slice_volume(VOLUME, rotations, DISK)
    images = 5 * slices * shift_phases(SHIFTS[shift].double(), DISK)
    ctf = torch.full((3, len(DISK)), 5.0, dtype=torch.float64)
    problem = Problem(images, ctf)
    found = best_hypotheses(GRID, *problem.arguments(), 1)
    assert angles_degrees(found.rotations[:, 0], rotations).max() < 0.05
    assert torch.equal(found.shifts_pixel[:, 0], SHIFTS[shift])


def test_slices_of_several_maps_share_each_image(problem: Problem) -> None:
    """Three classes whose slices are alike: all have the same likelihood, so an image's weights
    in them are the prior, and the evidence is that of one class."""
    slices, *others = problem.arguments()
    prior = torch.tensor([0.6, 0.3, 0.1])
    one = posterior(problem)
    found = grid_posterior(slices.repeat(3, 1), *others, 1.0, prior)
    torch.testing.assert_close(found.evidence, one.evidence, rtol=0, atol=2e-3)
    expected = prior.expand(len(found.evidence), 3)
    torch.testing.assert_close(found.class_weight, expected, rtol=0, atol=1e-4)
    for share, part in zip(prior, found.denominator.chunk(3), strict=True):
        torch.testing.assert_close(part, share * one.denominator, rtol=1e-3, atol=1e-4)
    scale = one.numerator.abs().max()
    for share, part in zip(prior, found.numerator.chunk(3), strict=True):
        assert (part - share * one.numerator).abs().max() < 1e-3 * scale


def test_an_image_belongs_to_the_map_it_shows(problem: Problem) -> None:
    """The weights of the classes are sums over their hypotheses."""
    slices, *others = problem.arguments()
    found = grid_posterior(torch.cat([slices, 0.5 * slices]), *others, 2.0, torch.ones(2) / 2)
    parts = [grid_posterior(part, *others, 2.0).evidence for part in (slices, 0.5 * slices)]
    expected = torch.softmax(torch.stack(parts, dim=1), dim=1)
    torch.testing.assert_close(found.class_weight, expected, rtol=0, atol=2e-3)
    assert (expected.amax(dim=1) < 0.999).any() or problem.images.abs().max() > 50


def test_one_map_has_all_of_each_image(problem: Problem) -> None:
    torch.testing.assert_close(posterior(problem).class_weight, torch.ones(len(problem.images), 1))
