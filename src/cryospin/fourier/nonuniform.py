"""The transform of images at frequencies between the Fourier pixels.

Exact but for a kernel that leaves an error of 1e-5: the image is divided by the kernel's
transform, padded to twice its box and transformed, and the kernel sums 6 x 6 neighbours of each
frequency (gridding; Beatty, Nishimura & Pauly 2005). Interpolating images or their transforms
with a spline would damp what lies near Nyquist.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from scipy.sparse import csr_array
from scipy.special import i0
from torch import Tensor

_PADDING = 2
_WIDTH = 6
_BETA = np.pi * np.sqrt((_WIDTH / _PADDING * (_PADDING - 0.5)) ** 2 - 0.8)


@dataclass(frozen=True)
class NonuniformTransform:
    """At k fixed frequencies, of images of one box; twin of `images_to_coefficients`.

    weights: (k, padded^2), the kernel about each frequency on the padded transform.
    window: (d, d), what images are multiplied with first.
    """

    box: int
    weights: csr_array
    window: Tensor

    @classmethod
    def at(cls, box: int, frequencies: np.ndarray) -> NonuniformTransform:
        """frequencies: (k, 2) x, y in Fourier pixels of the box."""
        padded = _PADDING * box
        place = np.asarray(frequencies, dtype=np.float64) * _PADDING
        first = np.ceil(place - _WIDTH / 2).astype(np.int64)
        near = first[..., None] + np.arange(_WIDTH)  # (k, 2, width)
        # the phase origin is the box centre: a sign on the padded transform
        kernel = _kernel(place[..., None] - near) * (1 - 2 * (near % 2))
        values = kernel[:, 1, :, None] * kernel[:, 0, None, :] / box
        columns = (near[:, 1, :, None] % padded) * padded + near[:, 0, None, :] % padded
        rows = np.arange(len(place) + 1) * _WIDTH**2
        weights = csr_array(
            (values.astype(np.float32).ravel(), columns.astype(np.int32).ravel(), rows),
            shape=(len(place), padded**2),
        )
        axis = 1.0 / _kernel_transform((np.arange(box) - box // 2) / padded)
        return cls(box, weights, torch.from_numpy(np.outer(axis, axis)).float())

    def __call__(self, images: Float[Tensor, "b d d"]) -> Complex[Tensor, "b k"]:
        """Divided by d, with the phase origin at the box centre, pixel d // 2."""
        padded = _PADDING * self.box
        before = padded // 2 - self.box // 2
        margins = [before, padded - self.box - before] * 2
        found = torch.empty(len(images), self.weights.shape[0], dtype=torch.complex64)
        for i, image in enumerate(images):
            spectrum = torch.fft.fft2(torch.nn.functional.pad(image * self.window, margins))
            pairs = torch.view_as_real(spectrum).reshape(-1, 2).numpy()
            found[i] = torch.view_as_complex(torch.from_numpy(self.weights @ pairs))
        return found


def _kernel(distance: np.ndarray) -> np.ndarray:
    """Kaiser and Bessel's, at distances in pixels of the padded transform."""
    inside = np.clip(1.0 - (2.0 * distance / _WIDTH) ** 2, 0.0, None)
    return i0(_BETA * np.sqrt(inside)) / _WIDTH


def _kernel_transform(position: np.ndarray) -> np.ndarray:
    """Of the kernel, at positions in padded boxes; real there, for |position| <= 1/4."""
    root = np.sqrt(_BETA**2 - (np.pi * _WIDTH * position) ** 2)
    return np.sinh(root) / root
