"""The kernels for cards against their twins in float64.

Without a card the programs run in Triton's interpreter (tests/conftest.py). On one:
CRYOSPIN_TEST_DEVICE=cuda python -m pytest tests/kernels/test_cuda.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from cryospin.fourier.disk import FourierDisk, shift_phases
from cryospin.kernels import cuda, margin_for, reference
from phantoms import disk_coefficients, random_turns

DEVICE = torch.device(os.environ.get("CRYOSPIN_TEST_DEVICE", "cpu"))
ON_CARD = DEVICE.type == "cuda"

BOX = 24
# less than a block of coefficients, and one that the end of the second block is empty of
DISKS = [FourierDisk.of(BOX, 3.0), FourierDisk.of(BOX)]
HOWS = ["atomics", "integers"] + ["vectors"] * (ON_CARD and cuda._adds_vectors(DEVICE))

# float32: positions to 1e-6 of a cell, sums of at most a few hundred terms
FLOAT32 = 1e-5
# the scores of a search in TF32: 11 bits, of log-likelihoods of some tens
SCORES = 3e-2 if ON_CARD else 1e-4


@pytest.fixture(params=HOWS)
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each way of adding up."""
    if request.param == "atomics":
        monkeypatch.setattr(cuda, "_adds_vectors", lambda device: False)
    with cuda.deterministic_sums(request.param == "integers"):
        yield request.param


def on_device(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Float32 and complex64, on the card where there is one."""
    return tuple(
        t.to(DEVICE, torch.complex64 if t.is_complex() else torch.float32) for t in tensors
    )


def exact(*tensors: Tensor) -> tuple[Tensor, ...]:
    """What `on_device` rounded them to, in float64 on the CPU: rotations rounded to float32
    are no mistake of a kernel's."""
    rounded = (t.to(torch.complex64 if t.is_complex() else torch.float32) for t in tensors)
    return tuple(t.to(torch.complex128 if t.is_complex() else torch.float64) for t in rounded)


def assert_near(found: Tensor, expected: Tensor, tolerance: float = FLOAT32) -> None:
    """To a part of the largest number."""
    assert found.dtype == (torch.complex64 if expected.is_complex() else torch.float32)
    assert found.device.type == DEVICE.type and found.shape == expected.shape
    difference = (found.cpu().to(expected.dtype) - expected).abs().max()
    assert difference <= tolerance * expected.abs().max()


def noise_volume(disk: FourierDisk, oversampling: int, spare: int = 0) -> Tensor:
    margin = margin_for(disk.radius, oversampling) + spare
    size = 2 * margin + 1
    generator = torch.manual_seed(0)
    return torch.randn(size, size, margin + 1, dtype=torch.complex128, generator=generator)


def positive(count: int, disk: FourierDisk, seed: int) -> Tensor:
    return disk_coefficients(count, disk, seed).abs().square()


def prefixes(*tensors: Tensor, spare: int = 5) -> tuple[Tensor, ...]:
    """The same numbers in longer rows, of not-a-numbers behind."""
    longer = (torch.nn.functional.pad(t, (0, spare), value=torch.nan) for t in tensors)
    return tuple(row[:, :-spare] for row in longer)


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize(("count", "oversampling", "spare"), [(1, 2, 0), (3, 1, 3), (2, 3, 0)])
def test_slices(disk: FourierDisk, count: int, oversampling: int, spare: int) -> None:
    arguments = (noise_volume(disk, oversampling, spare), random_turns(count, 1))
    found = cuda.slice_volume(*on_device(*arguments), disk, oversampling)
    assert_near(found, reference.slice_volume(*exact(*arguments), disk, oversampling))


def test_slices_from_the_axes_are_grid_points() -> None:
    """Every coefficient on a border between cells, those of kx = 0 on the volume's edge."""
    disk = DISKS[1]
    volume = noise_volume(disk, 2)
    turns = torch.stack([torch.eye(3).roll(turn, dims=0) for turn in range(3)])
    found = cuda.slice_volume(*on_device(volume, turns), disk, 2)
    assert_near(found, reference.slice_volume(*exact(volume, turns), disk, 2), 0)


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("oversampling", [1, 2])
def test_insertion(disk: FourierDisk, oversampling: int, how: str) -> None:
    """In several portions, one of them empty, of rows longer than the disk."""
    arguments = (disk_coefficients(5, disk, 1), positive(5, disk, 2), random_turns(5, 1))
    margin = margin_for(disk.radius, oversampling) + 1
    expected = reference.insert_slices(*exact(*arguments), disk, margin, oversampling)
    values, weights, rotations = on_device(*arguments)
    (values, weights) = prefixes(values, weights)
    rows = (slice(0, 1), slice(1, 1), slice(1, 5))
    portions = ((values[r], weights[r], rotations[r]) for r in rows)
    found = cuda.insert_portions(portions, disk, margin, oversampling)
    for ours, twin in zip(found, expected, strict=True):
        assert_near(ours, twin)


def test_insertion_is_the_adjoint_of_slicing(how: str) -> None:
    """<slice(V), y> = <V, insert(y)> over the reals."""
    disk = DISKS[1]
    volume, values, weights, rotations = on_device(
        noise_volume(disk, 2),
        disk_coefficients(3, disk, 1),
        positive(3, disk, 2),
        random_turns(3, 1),
    )
    margin = volume.shape[-1] - 1
    numerator, _ = cuda.insert_portions([(values, weights, rotations)], disk, margin, 2)
    sliced = cuda.slice_volume(volume, rotations, disk, 2)
    inner = [
        float((a.conj().to(torch.complex128) * b).real.sum())
        for a, b in ((volume, numerator), (sliced, values))
    ]
    # rounding of each term, relative to the product of the norms
    assert abs(inner[0] - inner[1]) < 1e-6 * float(sliced.norm() * values.norm())


def test_deterministic_sums_do_not_depend_on_the_order() -> None:
    disk = DISKS[0]
    values, weights, rotations = on_device(
        disk_coefficients(4, disk, 1), positive(4, disk, 2), random_turns(4, 1)
    )
    found = []
    for seed in (0, 1):
        order = torch.randperm(4, generator=torch.manual_seed(seed)).to(DEVICE)
        portions = [
            # the second portion is so much stronger that the first makes room for it
            (values[order], weights[order], rotations[order]),
            (1e6 * values[order], 1e3 * weights[order], rotations[order]),
        ]
        with cuda.deterministic_sums():
            found.append(cuda.insert_portions(portions, disk, margin_for(disk.radius), 2))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    whole = tuple(torch.cat(parts) for parts in zip(*portions, strict=True))
    twin = reference.insert_slices(
        *exact(*(t.cpu() for t in whole)), disk, margin_for(disk.radius), 2
    )
    assert_near(found[0][0], twin[0])
    assert_near(found[0][1], twin[1])


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_deterministic_sums_of_any_size(size: float) -> None:
    disk = DISKS[0]
    arguments = (
        size * disk_coefficients(3, disk, 1),
        size * positive(3, disk, 2),
        random_turns(3, 1),
    )
    with cuda.deterministic_sums():
        found = cuda.insert_portions([on_device(*arguments)], disk, margin_for(disk.radius), 2)
    twin = reference.insert_slices(*exact(*arguments), disk, margin_for(disk.radius), 2)
    assert_near(found[0], twin[0])
    assert_near(found[1], twin[1])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_deterministic_sums_hide_no_broken_number(bad: float) -> None:
    disk = DISKS[0]
    values, weights, rotations = on_device(
        disk_coefficients(3, disk, 1), positive(3, disk, 2), random_turns(3, 1)
    )
    values[1, 2] = bad
    with cuda.deterministic_sums():
        portions = [(values, weights, rotations)]
        numerator, denominator = cuda.insert_portions(portions, disk, margin_for(disk.radius), 2)
    assert numerator.isnan().any() and denominator.isfinite().all()


def test_deterministic_sums_end_with_their_block() -> None:
    with pytest.raises(RuntimeError), cuda.deterministic_sums():
        assert cuda._deterministic
        raise RuntimeError
    assert not cuda._deterministic


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("index", [None, [2, 0, 2, 2, 1]])
def test_poses(disk: FourierDisk, index: list[int] | None) -> None:
    """Also several poses of one image, and images longer than the disk."""
    images, poses = 3, 5 if index else 3
    data = (disk_coefficients(images, disk, 1) * 5, 2 * positive(images, disk, 2) - 1)
    volume, rotations = noise_volume(disk, 2), random_turns(poses, 3)
    shifts = 3 * torch.randn(poses, 2, generator=torch.manual_seed(4))
    which = None if index is None else torch.tensor(index)
    expected = reference.pose_normal_equations(
        *exact(volume, *data, rotations, shifts), disk, which, 2
    )
    volume, rotations, shifts = on_device(volume, rotations, shifts)
    longer = prefixes(*on_device(*data), spare=3)
    arguments = (volume, *longer, rotations, shifts, disk)
    which = None if which is None else which.to(DEVICE)
    for ours, twin in zip(cuda.pose_normal_equations(*arguments, which, 2), expected, strict=True):
        assert_near(ours, twin)
    assert_near(cuda.pose_losses(*arguments, which, 2), expected[0])


def test_images_are_not_copied() -> None:
    images = torch.zeros(4, 9, dtype=torch.complex64)[1:, :6]
    assert cuda._words(images).data_ptr() == images.data_ptr()
    assert cuda._words(images).stride() == images.stride()


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
    monkeypatch.setattr(cuda, "_CHUNK_BYTES", 2 * 4 * search.scores()[0].numel())


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
    scores = cuda._Grid.scores

    def refusing(self, images: Tensor, ctf: Tensor, shifts: Tensor) -> tuple[Tensor, ...]:
        asked.append(len(images))
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return scores(self, images, ctf, shifts)

    monkeypatch.setattr(cuda._Grid, "scores", refusing)
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
