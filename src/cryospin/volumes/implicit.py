"""An implicit volume to be learned: a network from a frequency to its Hartley coefficient.

Evaluated at the rotated coordinates of a slice, as cryoDRGN (Zhong et al. 2021) and cryoAI
(Levy et al. 2022) do; there is no grid and no interpolation.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn.functional import linear

from cryospin.fourier.disk import FourierDisk


class ImplicitVolume(nn.Module):
    """H(k) = A(|k|) mantissa(k) exp(exponent(k)), both outputs of one coordinate MLP.

    Positional features: cos and sin of 2 pi q.k / d for random places q in the particle, which
    is what the transform of a particle is made of. A is the amplitude each shell is expected
    to have, so that the network's outputs are of order one.

    power: mean |P|^2 per shell of the box (`particles.spectrum.signal_power`).
    spread: standard deviation of the places q, in boxes.
    """

    amplitude: Tensor
    places: Tensor

    def __init__(
        self,
        power: Float[Tensor, " s"],
        box: int,
        generator: torch.Generator,
        *,
        features: int = 128,
        width: int = 256,
        layers: int = 3,
        spread: float = 0.15,
    ):
        super().__init__()
        self.register_buffer("amplitude", power.sqrt())
        places = torch.randn(3, features, generator=generator) * (2 * np.pi * spread)
        self.register_buffer("places", places)
        sizes = [2 * features, *[width] * layers]
        steps: list[nn.Module] = []
        for inner, outer in zip(sizes[:-1], sizes[1:], strict=True):
            steps += [nn.Linear(inner, outer), nn.ReLU(inplace=True)]
        last = nn.Linear(width, 2)
        self.network = nn.Sequential(*steps, last)
        for layer in self.network:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():  # begins near zero, as the explicit volume does
            last.weight.mul_(0.1)

    def hartley(self, frequencies: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b"]:
        """mantissa x exp(exponent) at frequencies (x, y, z) in Fourier pixels; without A."""
        angle = frequencies @ self.places
        return _coefficient(self.network(torch.cat([angle.cos(), angle.sin()], dim=-1)))

    def hartley_pairs(
        self, frequencies: Float[Tensor, "*b 3"]
    ) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
        """The same at k and at -k, whose features differ in the sign of the sines alone: these
        and the first layer are made once."""
        angle = frequencies @ self.places
        first = self.network[0]
        assert isinstance(first, nn.Linear)
        for_cosines, for_sines = first.weight.chunk(2, dim=1)
        even = linear(angle.cos(), for_cosines, first.bias)
        odd = linear(angle.sin(), for_sines)
        here, mate = _coefficient(self.network[1:](torch.stack([even + odd, even - odd])))
        return here, mate

    def forward(
        self, rotations: Float[Tensor, "p 3 3"], disk: FourierDisk
    ) -> Complex[Tensor, "p k"]:
        """Central slices: F at R^T (kx, ky, 0), from H there and at its Friedel mate."""
        frequencies = np.stack([disk.kx, disk.ky], axis=-1)
        plane = disk.tensor("plane", frequencies, rotations.device, rotations.dtype)
        points = plane @ rotations[:, :2]
        here, mate = self.hartley_pairs(points)
        shell = disk.shells(rotations.device)
        amplitude = 0.5 * self.amplitude[shell.clamp_max(len(self.amplitude) - 1)]
        return torch.complex(amplitude * (here + mate), amplitude * (mate - here))


def _coefficient(outputs: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b"]:
    """mantissa x exp(exponent)."""
    return outputs[..., 0] * outputs[..., 1].exp()
