"""Maps and images on more or fewer voxels of the same field, by cropping or padding transforms.

In numpy, for the report must not wait for torch to be imported.
"""

from __future__ import annotations

from types import EllipsisType

import numpy as np


def resized(values: np.ndarray, box: int, dimensions: int = 3) -> np.ndarray:
    """The last `dimensions` axes, all of one length, on an even box of another size.

    Centre d // 2 stays on centre, and values keep their meaning. Nyquist is left out.
    """
    axes = tuple(range(-dimensions, 0))
    spectrum = np.fft.rfftn(np.fft.ifftshift(values, axes), axes=axes)
    spectrum = np.fft.fftshift(spectrum, axes=axes[:-1])
    old = values.shape[-1]
    # odd corners of even boxes: frequencies -m..m are kept
    m = min(old, box) // 2 - 1
    lengths = (box,) * (dimensions - 1)
    target = np.zeros((*values.shape[:-dimensions], *lengths, box // 2 + 1), dtype=np.complex64)

    def lowest(length: int) -> tuple[EllipsisType | slice, ...]:
        middle = slice(length // 2 - m, length // 2 + m + 1)
        return (..., *(middle,) * (dimensions - 1), slice(m + 1))

    target[lowest(box)] = spectrum[lowest(old)]
    shifted = np.fft.ifftshift(target, axes=axes[:-1])
    whole = np.fft.irfftn(shifted, s=(box,) * dimensions, axes=axes)
    return np.fft.fftshift(whole, axes) * np.float32((box / old) ** dimensions)
