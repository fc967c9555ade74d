"""PNG files of small pictures, without a graphics library (PNG specification, third edition)."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_GREY, _RGBA = 0, 6
_LESS_ITS_LEFT_NEIGHBOUR = 1


def data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def png(picture: np.ndarray) -> str:
    """(rows, columns) grey, or (rows, columns, 4) RGBA, in [0, 1], as a PNG."""
    return data_uri("png", encoded_png(np.round(picture * 255).astype(np.uint8)))


def grey_levels(picture: np.ndarray) -> np.ndarray:
    """Values between their 0.5th and 99.8th percentile, as [0, 1]."""
    low, high = np.quantile(picture, (0.005, 0.998))
    return np.clip((picture - low) / max(high - low, 1e-20), 0.0, 1.0)


def encoded_png(picture: np.ndarray) -> bytes:
    """Grey (rows, columns) or RGBA (rows, columns, 4), 8 bits each."""
    height, width = picture.shape[:2]
    channels = 1 if picture.ndim == 2 else 4
    values = np.ascontiguousarray(picture, dtype=np.uint8).reshape(height, width * channels)
    filtered = np.full((height, 1 + width * channels), _LESS_ITS_LEFT_NEIGHBOUR, dtype=np.uint8)
    filtered[:, 1:] = values
    filtered[:, 1 + channels :] -= values[:, :-channels]
    colours = _GREY if channels == 1 else _RGBA
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(filtered.tobytes())),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )
