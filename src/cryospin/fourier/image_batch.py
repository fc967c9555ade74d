"""Images as all methods see them: whitened coefficients beside the CTFs they were taken with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from cryospin.fourier.disk import FourierDisk


@dataclass(frozen=True)
class ImageBatch:
    """Whitened images on a disk of frequencies: ctf * shift * projection + noise.

    Both tensors may be views of a larger table (`particles.prepare`), whose rows lie apart. They
    are not to be written to, and who reads them again and again had better copy them.

    Parameters
    ----------
    coefficients : Tensor
        (b, k) complex.
    ctf : Tensor
        (b, k).
    disk : FourierDisk
        The k frequencies.
    """

    coefficients: Complex[Tensor, "b k"]
    ctf: Float[Tensor, "b k"]
    disk: FourierDisk

    def __len__(self) -> int:
        return len(self.coefficients)

    @property
    def device(self) -> torch.device:
        return self.coefficients.device

    def select(self, rows: Int[Tensor, " q"] | slice) -> ImageBatch:
        """Some of the images, or some of them several times; of a slice, views."""
        return ImageBatch(self.coefficients[rows], self.ctf[rows], self.disk)

    def prefix(self, radius: float) -> ImageBatch:
        """The images low-passed to a smaller radius: views."""
        disk = self.disk.prefix(radius)
        length = len(disk)
        return ImageBatch(self.coefficients[:, :length], self.ctf[:, :length], disk)

    def contiguous(self) -> ImageBatch:
        """With rows that lie one after the other, copied where they do not yet."""
        return ImageBatch(self.coefficients.contiguous(), self.ctf.contiguous(), self.disk)

    def empty_loss(self) -> Float[Tensor, " b"]:
        """Sums of squares: the loss of each image (`kernels.pose_losses`) under an empty map."""
        return torch.view_as_real(self.coefficients).square().sum(dim=(1, 2))
