"""Images against a grid of poses on cards, against what every hypothesis by itself says, in
float64; see `on_device`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from cryospin.fourier.disk import FourierDisk, shift_phases
from cryospin.kernels import cuda, cuda_grid, reference
from kernels.on_device import (
    DISKS,
    ON_CARD,
    assert_near,
    exact,
    on_device,
    prefixes,
)
from phantoms import disk_coefficients

# the scores of a search in TF32: 11 bits, of log-likelihoods of some tens
SCORES = 3e-2 if ON_CARD else 1e-4


class Search:
    """Images, slices and shifts, and what every hypothesis by itself says of them, in float64."""

    def __init__(self, disk: FourierDisk, slices: int, images: int, shifts: int) -> None:
        self.disk = disk
        generator = torch.manual_seed(5)
        scale = 1.5 / len(disk) ** 0.5
        self.slices, self.images, self.ctf, self.shifts = exact(
            disk_coefficients(slices, disk, 1) * scale * 2,
            disk_coefficients(images, disk, 2) * 1.5,
            2 * torch.rand(images, len(disk), generator=generator) - 1,
            2 * torch.randn(shifts, 2, generator=generator),
        )
        self.quaternions = normalize(torch.randn(4, slices, 4, generator=generator), dim=-1)

    def arguments(self) -> tuple:
        """Images and CTFs are prefixes of longer ones."""
        slices, images, ctf, shifts = on_device(self.slices, self.images, self.ctf, self.shifts)
        return slices, *prefixes(images, ctf), shifts, self.disk

    def turned(self, values: Tensor) -> Tensor:
        """(4, *, k): as they are, half a turn in the plane, and the two from behind."""
        kx, ky = self.disk.kx, self.disk.ky
        places = {(int(x), int(y)): i for i, (x, y) in enumerate(zip(kx, ky, strict=True))}
        mate = [places.get((x, -y), i) for i, (x, y) in enumerate(zip(kx, ky, strict=True))]
        behind = values[..., mate]
        behind[..., kx == 0] = behind[..., kx == 0].conj()
        return torch.stack([values, values.conj(), behind.conj(), behind])

    def scores(self) -> Tensor:
        """(image, half-turn, shift, slice)."""
        model = self.ctf[:, None] * shift_phases(self.shifts, self.disk)
        turned = self.turned(self.slices)
        product = torch.einsum("bk,btk,vgk->bvtg", self.images.conj(), model.to(turned), turned)
        norms = torch.einsum("bk,vgk->bvg", self.ctf.square(), turned.abs().square())
        return 2 * product.real - norms[:, :, None]

    def sums(self, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        scores = self.scores() / temperature
        evidence = torch.logsumexp(scores.flatten(1), dim=1)
        weights = (scores - evidence[:, None, None, None]).exp()
        data = (self.ctf * self.images)[:, None] * shift_phases(-self.shifts, self.disk)
        weights = weights.to(data)
        numerator = torch.einsum("bvtg,vbtk->gk", weights, self.turned(data))
        power = self.turned(self.ctf.square())
        denominator = torch.einsum("bvtg,vbk->gk", weights.real, power)
        return numerator, denominator, evidence - torch.tensor(scores[0].numel()).log()

    def peaks(self, near: float, hypotheses: int) -> Tensor:
        values, shifts = self.scores().max(dim=2)
        found = []
        for of_image, at in zip(values, shifts, strict=True):
            for _ in range(hypotheses):
                v, g = divmod(int(of_image.argmax()), of_image.shape[1])
                found.append([v, g, int(at[v, g])])
                taken = (self.quaternions @ self.quaternions[v, g]).abs() > near
                of_image = of_image.masked_fill(taken, -torch.inf)
        return torch.tensor(found).view(len(values), hypotheses, 3)


def small_blocks(monkeypatch: pytest.MonkeyPatch, search: Search) -> None:
    """Two chunks of images, and more slices than a program takes at once."""
    monkeypatch.setattr(cuda, "_ROW", 32)
    monkeypatch.setattr(cuda, "_ROW_WARPS", 1)
    monkeypatch.setattr(cuda_grid, "_CHUNK_BYTES", 2 * 4 * search.scores()[0].numel())


@pytest.mark.parametrize(
    ("disk", "shifts", "temperature"),
    [(DISKS[1], 1, 1.0), (DISKS[1], 9, 1.0), (DISKS[0], 2, 4.0), (DISKS[1], 2, 0.5)],
)
def test_weights_of_a_grid(
    disk: FourierDisk, shifts: int, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(disk, slices=35, images=3, shifts=shifts)
    small_blocks(monkeypatch, search)
    found = cuda.grid_weights(*search.arguments(), temperature, None)
    assert_near(found[3], torch.ones(3, 1).double(), SCORES)
    for ours, exactly in zip(found[:3], search.sums(temperature), strict=True):
        assert_near(ours, exactly, SCORES)


def test_weights_of_the_slices_of_several_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(DISKS[1], slices=36, images=3, shifts=2)
    small_blocks(monkeypatch, search)
    prior = torch.tensor([0.7, 0.2, 0.1])
    found = cuda.grid_weights(*search.arguments(), 2.0, *on_device(prior))
    exactly = reference.grid_weights(*exact(*search.arguments()[:4]), search.disk, 2.0, prior)
    assert found[3].shape == (3, 3) and found[3].min() > 1e-3
    for ours, expected in zip(found, exactly, strict=True):
        assert_near(ours, expected, SCORES)


def test_the_example_has_soft_and_hard_posteriors() -> None:
    scores = Search(DISKS[1], slices=35, images=3, shifts=3).scores().flatten(1)
    best = torch.softmax(scores / torch.tensor([4.0, 0.5])[:, None, None], dim=-1).amax(-1)
    assert best[0].max() < 0.5 and best[1].max() > 0.5


@pytest.mark.parametrize(("disk", "shifts", "hypotheses"), [(DISKS[0], 1, 4), (DISKS[1], 9, 2)])
def test_peaks_of_a_grid(
    disk: FourierDisk, shifts: int, hypotheses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(disk, slices=35, images=3, shifts=shifts)
    small_blocks(monkeypatch, search)
    near = 0.8
    found = cuda.grid_peaks(*search.arguments(), *on_device(search.quaternions), near, hypotheses)
    assert found.dtype == torch.int64
    expected = search.peaks(near, hypotheses)
    if not ON_CARD:
        assert torch.equal(found, expected)
    # on a card, of two as good as equal either
    image = torch.arange(3)[:, None]
    ours, best = (
        search.scores()[image, v, t, g] for v, g, t in (found.cpu().unbind(-1), expected.unbind(-1))
    )
    assert (ours - best).abs().max() < SCORES * search.scores().abs().max()


def test_peaks_when_all_are_near_one_another() -> None:
    """The first orientation again and again, as the twin of the CPU has it."""
    search = Search(DISKS[0], slices=3, images=2, shifts=2)
    quaternions = torch.ones(4, 3, 4) / 2
    found = cuda.grid_peaks(*search.arguments(), *on_device(quaternions), 0.9, 3)
    assert torch.equal(found[:, 1:, :2], torch.zeros_like(found[:, 1:, :2]))


def test_precision_outside_is_left_alone() -> None:
    settings = torch.backends.cuda.matmul
    before = settings.allow_tf32
    search = Search(DISKS[0], slices=3, images=2, shifts=1)
    try:
        for allowed in (True, False):
            settings.allow_tf32 = allowed
            cuda.grid_weights(*search.arguments(), 1.0, None)
            assert settings.allow_tf32 is allowed
    finally:
        settings.allow_tf32 = before


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """A card that has room for the scores of `most` images; what was asked of it."""
    asked = []
    scores = cuda_grid.GridBlocks.scores

    def refusing(self, images: Tensor, ctf: Tensor, shifts: Tensor) -> tuple[Tensor, ...]:
        asked.append(len(images))
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return scores(self, images, ctf, shifts)

    monkeypatch.setattr(cuda_grid.GridBlocks, "scores", refusing)
    return asked


def test_short_of_memory_the_search_takes_fewer_images_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = Search(DISKS[0], slices=9, images=5, shifts=2)
    expected = cuda.grid_weights(*search.arguments(), 1.0, None)
    asked = short_of_memory(monkeypatch, 2)
    found = cuda.grid_weights(*search.arguments(), 1.0, None)
    assert asked == [5, 2, 2, 1]
    for ours, all_at_once in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, all_at_once, rtol=1e-5, atol=1e-5)


def test_no_memory_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(DISKS[0], slices=9, images=3, shifts=1)
    asked = short_of_memory(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        cuda.grid_weights(*search.arguments(), 1.0, None)
    assert asked == [3, 1]
