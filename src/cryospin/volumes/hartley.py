"""An explicit volume to be learned: Hartley coefficients as mantissa x exp(exponent).

The Hartley transform of a real map is real, so a coefficient is one number; the exponent lets
one learning rate serve coefficients whose sizes differ by orders of magnitude (CryoSPIN,
section 4.3). Where poses are known a map is a closed form: see `volumes.gridded`.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from cryospin.kernels import OVERSAMPLING, margin_for
from cryospin.volumes.volume_shells import shells_of_volume


def hartley_to_fourier(hartley: Float[Tensor, "z y x"]) -> Complex[Tensor, "z y w"]:
    """F(k) = (H(k) + H(-k)) / 2 - i (H(k) - H(-k)) / 2 on the half x >= 0 of a centred grid.

    With F(k) = sum f exp(-2 pi i k.x) and H(k) = sum f (cos + sin)(2 pi k.x).
    """
    margin = hartley.shape[-1] // 2
    right = hartley[..., margin:]
    mate = hartley.flip(0, 1, 2)[..., margin:]
    return torch.complex(0.5 * (right + mate), 0.5 * (mate - right))


def fourier_to_hartley(volume: Complex[Tensor, "z y w"]) -> Float[Tensor, "z y x"]:
    """H = Re F - Im F, the inverse; the half x < 0 is filled by Friedel's law."""
    right = volume.real - volume.imag
    left = (volume.real + volume.imag)[..., 1:].flip(0, 1, 2)
    return torch.cat([left, right], dim=-1)


class HartleyVolume(nn.Module):
    """H = mantissa x exp(exponent) on a voxel grid (CryoSPIN Eq. 7); calling it gives the
    Fourier volume (Eq. 8) in the layout that `kernels.slice_volume` reads."""

    def __init__(self, mantissa: Float[Tensor, "z y x"], exponent: Float[Tensor, "z y x"]):
        super().__init__()
        self.mantissa = nn.Parameter(mantissa.clone())
        self.exponent = nn.Parameter(exponent.clone())

    @classmethod
    def random(
        cls,
        power: Float[Tensor, " s"],
        radius: float,
        generator: torch.Generator,
        *,
        oversampling: int = OVERSAMPLING,
        scale: float = 0.01,
    ) -> HartleyVolume:
        """Mantissas N(0, scale^2); exponents the log amplitude the shell is expected to have.

        power: mean |P|^2 per shell of the box (`particles.spectrum.signal_power`).
        """
        margin = margin_for(radius, oversampling)
        size = 2 * margin + 1
        mantissa = scale * torch.randn(size, size, size, generator=generator)
        shells = fourier_shells(margin, oversampling).round().long().clamp_max(len(power) - 1)
        return cls(mantissa, 0.5 * power.log()[shells])

    def forward(self) -> Complex[Tensor, "z y w"]:
        return hartley_to_fourier(self.mantissa * self.exponent.exp())


def fourier_shells(margin: int, oversampling: int) -> Float[Tensor, "z y x"]:
    """|k| in Fourier pixels of the box on the whole grid."""
    half = shells_of_volume(margin, oversampling)
    return torch.cat([half[..., 1:].flip(2), half], dim=-1)
