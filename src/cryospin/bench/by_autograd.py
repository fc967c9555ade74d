"""The direct stage as it is commonly written: `grid_sample`, automatic gradients, Adam.

The plain twin that `bench` times ours against; no reconstruction uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.fourier.disk import FourierDisk
from cryospin.fourier.image_batch import ImageBatch


def by_grid_sample(
    volume: Complex[Tensor, "z y x"], rotations: Float[Tensor, "n 3 3"], disk: FourierDisk
) -> Complex[Tensor, "n k"]:
    """What `slice_volume` gives at oversampling 2, with torch's trilinear sampler on real and
    imaginary channels."""
    margin = volume.shape[-1] - 1
    plane = torch.as_tensor(np.stack([disk.kx, disk.ky, 0 * disk.kx], axis=-1)).float()
    points = 2 * plane @ rotations
    sign = torch.where(points[..., :1] < 0, -1.0, 1.0)
    points = points * sign
    grid = torch.stack(
        [points[..., 0] / (0.5 * margin) - 1, points[..., 1] / margin, points[..., 2] / margin],
        dim=-1,
    )
    channels = torch.view_as_real(volume).movedim(-1, 0)[None]
    sampled = torch.nn.functional.grid_sample(channels, grid[None, None], align_corners=True)
    return torch.complex(sampled[0, 0, 0], sampled[0, 1, 0] * sign[..., 0])


def loss_by_autograd(
    volume: Complex[Tensor, "z y x"],
    images: ImageBatch,
    rotations: Float[Tensor, "n 3 3"],
    turns: Float[Tensor, "n 3"],
    shifts_pixel: Float[Tensor, "n 2"],
) -> Float[Tensor, ""]:
    """sum_k |x_k - C_k s_k(t) P_k(exp([w]) R)|^2 over all images (paper Eq. 3)."""
    disk = images.disk
    slices = by_grid_sample(volume, roma.rotvec_to_rotmat(turns) @ rotations, disk)
    angle = shifts_pixel @ torch.as_tensor(np.stack([disk.kx, disk.ky])).float()
    phase = torch.polar(torch.ones_like(angle), angle * (-2 * np.pi / disk.box))
    return (images.coefficients - images.ctf * phase * slices).abs().square().sum()


@dataclass(frozen=True)
class AutogradStage:
    """Five pose updates and one volume update of a batch, each a gradient and an Adam step.

    Learning rates are the paper's of its direct stage.
    """

    pose_updates: int = 5
    pose_rate: float = 0.05
    volume_rate: float = 0.02

    def run(
        self,
        volume: Complex[Tensor, "z y x"],
        images: ImageBatch,
        rotations: Float[Tensor, "n 3 3"],
        shifts_pixel: Float[Tensor, "n 2"],
    ) -> tuple[Complex[Tensor, "z y x"], Float[Tensor, "n 3 3"], Float[Tensor, "n 2"]]:
        """The new volume, rotations and shifts."""
        turns = torch.zeros(len(rotations), 3, requires_grad=True)
        shifts = shifts_pixel.clone().requires_grad_(True)
        adam = torch.optim.Adam([turns, shifts], lr=self.pose_rate)
        for _ in range(self.pose_updates):
            adam.zero_grad()
            loss_by_autograd(volume, images, rotations, turns, shifts).backward()
            adam.step()
        values = torch.view_as_real(volume).clone().requires_grad_(True)
        adam = torch.optim.Adam([values], lr=self.volume_rate)
        poses = rotations, turns.detach(), shifts.detach()
        loss_by_autograd(torch.view_as_complex(values), images, *poses).backward()
        adam.step()
        turned = roma.rotvec_to_rotmat(turns.detach()) @ rotations
        return torch.view_as_complex(values.detach()), turned, shifts.detach()
