"""Volumes that are learned, behind one question: how well do these poses explain these images?

Explicit and implicit volumes differ in how slices are made of them; encoders and the direct
optimisation of poses train either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cryospin.explore.heads import Likelihood
from cryospin.fourier.image_batch import ImageBatch
from cryospin.imaging import negative_log_likelihood, slices_negative_log_likelihood
from cryospin.volumes.hartley import HartleyVolume
from cryospin.volumes.implicit import ImplicitVolume

# frequencies an implicit volume is asked for at once; the tensors of more are mapped and cleared
# by the system each time, on CPU, which takes nearly as long as the arithmetic
_POINTS = 2**14
_LARGER_ON_A_CARD = 16


@runtime_checkable
class Decoder(Protocol):
    """A learned volume: an `nn.Module` with a likelihood."""

    def likelihood(self, images: ImageBatch) -> Likelihood:
        """The negative log-likelihood of poses of these images under the present volume."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> object: ...


class ExplicitDecoder(nn.Module):
    """Hartley coefficients on a grid; gradients through the compiled kernels."""

    def __init__(self, volume: HartleyVolume, oversampling: int):
        super().__init__()
        self.volume, self.oversampling = volume, oversampling

    def likelihood(self, images: ImageBatch) -> Likelihood:
        volume = self.volume()

        def of(
            rotations: Float[Tensor, "p 3 3"],
            shifts_pixel: Float[Tensor, "p 2"],
            index: Int[Tensor, " p"],
        ) -> Float[Tensor, " p"]:
            return negative_log_likelihood(
                volume, images, rotations, shifts_pixel, index, self.oversampling
            )

        return of


class ImplicitDecoder(nn.Module):
    """A coordinate network; gradients through it by plain differentiation."""

    def __init__(self, volume: ImplicitVolume):
        super().__init__()
        self.volume = volume

    def likelihood(self, images: ImageBatch) -> Likelihood:
        disk = images.disk

        def loss(rotations: Tensor, shifts_pixel: Tensor, index: Tensor) -> Tensor:
            slices = self.volume(rotations, disk)
            return slices_negative_log_likelihood(slices, images, shifts_pixel, index)

        def of(
            rotations: Float[Tensor, "p 3 3"],
            shifts_pixel: Float[Tensor, "p 2"],
            index: Int[Tensor, " p"],
        ) -> Float[Tensor, " p"]:
            points = _POINTS * (1 if images.device.type == "cpu" else _LARGER_ON_A_CARD)
            together = max(1, points // len(disk))
            parts = zip(
                *(whole.split(together) for whole in (rotations, shifts_pixel, index)), strict=True
            )
            return torch.cat([loss(*part) for part in parts])

        return of
