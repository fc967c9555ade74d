"""Splitting disk vectors by parity under kx -> -kx and ky -> -ky.

Four half-turned copies of a slice differ only in the signs of four blocks. The inner products
of an image with all four are sums and differences of four inner products over blocks a
quarter as long: an exhaustive search at a quarter of the multiplications, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from cryospin.fourier.disk import FourierDisk


@dataclass(frozen=True)
class ParityFold:
    """Index tables of a disk: (kx, ky) and (kx, -ky) off the axes, then the axes.

    Blocks are ee and oo (real parts: even-even and odd-odd in kx, ky) and oe and eo
    (imaginary parts: odd in kx, odd in ky). The transform is orthonormal over the 2k reals.
    """

    plus: Tensor
    minus: Tensor
    on_x: Tensor
    on_y: Tensor
    origin: Tensor

    @classmethod
    def of(cls, disk: FourierDisk) -> ParityFold:
        where = {(int(x), int(y)): i for i, (x, y) in enumerate(zip(disk.kx, disk.ky, strict=True))}
        plus = np.flatnonzero((disk.kx > 0) & (disk.ky > 0))
        minus = np.array([where[int(disk.kx[i]), -int(disk.ky[i])] for i in plus], dtype=np.int64)
        tables = (
            plus,
            minus,
            np.flatnonzero((disk.ky == 0) & (disk.kx > 0)),
            np.flatnonzero((disk.kx == 0) & (disk.ky > 0)),
            np.flatnonzero((disk.kx == 0) & (disk.ky == 0)),
        )
        return cls(*(torch.as_tensor(table, dtype=torch.long) for table in tables))

    @classmethod
    def on(cls, disk: FourierDisk, device: torch.device) -> ParityFold:
        """The disk's tables on a device: made once."""
        made: ParityFold = disk.once(("fold", device), lambda: cls.of(disk).to(device))
        return made

    def to(self, device: torch.device) -> ParityFold:
        return ParityFold(*(getattr(self, each.name).to(device) for each in fields(self)))

    def fold(self, values: Complex[Tensor, "*b k"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Blocks (ee, oo, oe, eo), each (*b, about k/2)."""
        real, imag = values.real, values.imag
        even, odd = self.fold_even(real)
        p, m = imag[..., self.plus] * 0.5**0.5, imag[..., self.minus] * 0.5**0.5
        return (
            even,
            odd,
            torch.cat([p + m, imag[..., self.on_x]], dim=-1),
            torch.cat([p - m, imag[..., self.on_y]], dim=-1),
        )

    def fold_even(self, values: Float[Tensor, "*b k"]) -> tuple[Tensor, Tensor]:
        """Blocks (ee, oo) of a real vector that is even under k -> -k, such as |P|^2."""
        p, m = values[..., self.plus] * 0.5**0.5, values[..., self.minus] * 0.5**0.5
        axes = [values[..., i] for i in (self.on_x, self.on_y, self.origin)]
        return torch.cat([p + m, *axes], dim=-1), p - m

    def unfold_even(self, even: Tensor, odd: Tensor) -> Float[Tensor, "*b k"]:
        """Inverse of `fold_even`."""
        pairs = len(self.plus)
        count = 2 * pairs + len(self.on_x) + len(self.on_y) + len(self.origin)
        values = even.new_empty((*even.shape[:-1], count))
        values[..., self.plus] = (even[..., :pairs] + odd) * 0.5**0.5
        values[..., self.minus] = (even[..., :pairs] - odd) * 0.5**0.5
        values[..., torch.cat([self.on_x, self.on_y, self.origin])] = even[..., pairs:]
        return values

    def unfold(
        self, even: Tensor, odd: Tensor, odd_x: Tensor, odd_y: Tensor
    ) -> Complex[Tensor, "*b k"]:
        """Inverse of `fold`."""
        pairs = len(self.plus)
        real = self.unfold_even(even, odd)
        imag = torch.zeros_like(real)
        imag[..., self.plus] = (odd_x[..., :pairs] + odd_y[..., :pairs]) * 0.5**0.5
        imag[..., self.minus] = (odd_x[..., :pairs] - odd_y[..., :pairs]) * 0.5**0.5
        imag[..., self.on_x] = odd_x[..., pairs:]
        imag[..., self.on_y] = odd_y[..., pairs:]
        return torch.complex(real, imag)
