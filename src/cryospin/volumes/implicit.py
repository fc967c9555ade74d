"""An implicit volume to be learned: a network from a frequency to its Hartley coefficient.

Evaluated at the rotated coordinates of a slice, as cryoDRGN (Zhong et al. 2021) and cryoAI
(Levy et al. 2022) do; there is no grid and no interpolation.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

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
            steps += [nn.Linear(inner, outer), nn.ReLU()]
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
        out = self.network(torch.cat([angle.cos(), angle.sin()], dim=-1))
        return out[..., 0] * out[..., 1].exp()

    def forward(
        self, rotations: Float[Tensor, "p 3 3"], disk: FourierDisk
    ) -> Complex[Tensor, "p k"]:
        """Central slices: F at R^T (kx, ky, 0), from H there and at its Friedel mate."""
        plane = torch.as_tensor(np.stack([disk.kx, disk.ky], axis=-1)).to(rotations)
        points = plane @ rotations[:, :2]
        here, mate = self.hartley(points), self.hartley(-points)
        shell = torch.as_tensor(disk.shell, dtype=torch.long, device=rotations.device)
        amplitude = 0.5 * self.amplitude[shell.clamp_max(len(self.amplitude) - 1)]
        return torch.complex(amplitude * (here + mate), amplitude * (mate - here))
