"""FSC in cones: the same as the FSC where nothing depends on direction, and where it does, not."""

from __future__ import annotations

import torch

from cryospin.fourier.fsc import fourier_shell_correlation
from cryospin.types import DensityMap
from cryospin.volumes.conical_fsc import cone_area_ratio, cone_directions, conical_fsc

BOX, SHELLS = 32, 12


def noise(seed: int) -> torch.Tensor:
    return torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(seed))


def curves(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return conical_fsc(DensityMap(first, 1.0), DensityMap(second, 1.0), SHELLS)


def test_axes_are_half_a_sphere() -> None:
    axes = cone_directions()
    assert len(axes) == 24
    torch.testing.assert_close(axes.norm(dim=1), torch.ones(24).double())
    opposite = axes @ axes.T + 1
    assert opposite.min() > 0.01


def test_same_maps_agree_in_every_cone() -> None:
    found = curves(noise(1), noise(1))
    assert found.shape == (24, SHELLS)
    # the first shells have no coefficient in some cones
    assert (found[:, 2:] - 1).abs().max() < 1e-6
    assert cone_area_ratio(found[:, 2:]) > 0.999


def test_even_noise_gives_the_ordinary_curve() -> None:
    first, second = noise(1) + 0.5 * noise(2), noise(1) + 0.5 * noise(3)
    cones = curves(first, second)[:, 4:].mean(dim=0)
    whole = fourier_shell_correlation(first, second)[4:SHELLS]
    assert (cones - whole).abs().max() < 0.05


def test_noise_along_one_axis_is_found_there() -> None:
    """Coefficients near the z axis replaced by independent noise."""
    spectra = [torch.fft.rfftn(noise(1)) for _ in range(2)]
    full = torch.fft.fftfreq(BOX, 1 / BOX)
    kz, ky, kx = torch.meshgrid(full, full, torch.arange(BOX // 2 + 1.0), indexing="ij")
    polar = kz.abs() > 0.8 * (kx.square() + ky.square() + kz.square()).sqrt()
    for number, spectrum in enumerate(spectra):
        spectrum[polar] = torch.fft.rfftn(noise(10 + number))[polar]
    found = curves(*(torch.fft.irfftn(s, (BOX, BOX, BOX)) for s in spectra))
    heights = cone_directions()[:, 2]
    area = found[:, 3:].mean(dim=1)
    assert area[heights > 0.9].max() < 0.2
    assert area[heights < 0.1].min() > 0.95
    assert cone_area_ratio(found) < 0.3
