"""Weights in 8 bits: a quarter of the memory to read, which is what writing one token at a time waits for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["EightBitMatrix"]

_LARGEST = 127  # symmetric: -128 is not used


class EightBitMatrix(NamedTuple):
    """A matrix of whole numbers with one scale per output: ``values * scales`` is near the original.

    ``values`` is ``[out, in]`` int8, ``scales`` is ``[out, 1]`` float32: the largest number of each output
    becomes 127 (symmetric quantisation per output channel, arXiv:1712.05877).
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]

    @classmethod
    def of(cls, weight: NDArray[np.float32], *, transposed: bool) -> EightBitMatrix:
        """Round a matrix: ``[out, in]`` if ``transposed`` (as in `Ops.affine`), else ``[in, out]``."""
        matrix = weight if transposed else weight.T
        largest = np.abs(matrix).max(axis=1, keepdims=True)
        # A row of zeros stays one, whatever its scale.
        scales = np.where(largest > 0, largest / np.float32(_LARGEST), np.float32(1)).astype(np.float32)
        values = np.rint(matrix / scales).astype(np.int8)
        return cls(np.ascontiguousarray(values), scales)

    def restored(self) -> NDArray[np.float32]:
        """Return the matrix that is computed with, ``[out, in]``."""
        return self.values * self.scales
