"""A map on more or fewer voxels of the same field, for pictures and for projections.

In numpy, for the report must not wait for torch to be imported.
"""

from __future__ import annotations

import numpy as np


def resized(values: np.ndarray, box: int) -> np.ndarray:
    """The (d, d, d) map on an even box of another size, by cropping or padding its transform.

    Centre d // 2 stays on centre, and values keep their meaning. Nyquist is left out.
    """
    spectrum = np.fft.fftshift(np.fft.rfftn(np.fft.ifftshift(values)), axes=(0, 1))
    old = values.shape[0]
    # odd corners of even boxes: frequencies -m..m are kept
    m = min(old, box) // 2 - 1
    target = np.zeros((box, box, box // 2 + 1), dtype=np.complex64)
    inner = slice(box // 2 - m, box // 2 + m + 1)
    outer = slice(old // 2 - m, old // 2 + m + 1)
    target[inner, inner, : m + 1] = spectrum[outer, outer, : m + 1]
    whole = np.fft.irfftn(np.fft.ifftshift(target, axes=(0, 1)), s=(box,) * 3, axes=(0, 1, 2))
    return np.fft.fftshift(whole) * np.float32((box / old) ** 3)
