"""Matrices and vectors as very small PNG pictures, written into the page that shows them.

One pixel is one number: its share of the colour is in the alpha channel, so the same picture suits a light
page and a dark one. The format is PNG's (ISO/IEC 15948), with the simplest of its filters.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["signed", "strengths"]

_POSITIVE = (53, 112, 201)
_NEGATIVE = (203, 106, 40)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGBA = 6


def strengths(matrix: NDArray[Any]) -> str:
    """A picture of ``[rows, columns]`` from 0 (nothing) to 1 (full colour), as a data address."""
    return signed(np.clip(matrix, 0, 1))


def signed(matrix: NDArray[Any]) -> str:
    """A picture of ``[rows, columns]`` from -1 (one colour) over 0 (nothing) to 1 (the other)."""
    pixels = np.empty((*matrix.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(matrix[..., None] < 0, _NEGATIVE, _POSITIVE)
    pixels[..., 3] = np.rint(np.minimum(np.abs(matrix), 1) * 255)
    return f"data:image/png;base64,{base64.b64encode(_png(pixels)).decode('ascii')}"


def _png(pixels: NDArray[np.uint8]) -> bytes:
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, _RGBA, 0, 0, 0)
    lines = np.zeros((height, 1 + 4 * width), dtype=np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    data = zlib.compress(lines.tobytes(), 9)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
