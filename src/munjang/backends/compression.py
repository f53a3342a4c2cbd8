"""8-bit weights: a quarter of the memory reads, which limit the speed of generating one token at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["EightBitMatrix"]

_LARGEST = 127  # symmetric: -128 is not used


class EightBitMatrix(NamedTuple):
    """An int8 matrix with one scale per output channel: ``values * scales`` approximates the original.

    ``values`` is ``[out, in]`` int8, ``scales`` is ``[out, 1]`` float32: the largest absolute value of each
    output channel becomes 127 (symmetric quantisation per output channel, arXiv:1712.05877).
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]

    @classmethod
    def of(cls, weight: NDArray[np.float32], *, transposed: bool) -> EightBitMatrix:
        """Quantise a matrix: ``[out, in]`` if ``transposed`` (as in `Ops.affine`), else ``[in, out]``."""
        matrix = weight if transposed else weight.T
        largest = np.abs(matrix).max(axis=1, keepdims=True)
        # A row of zeros stays zero for any scale.
        scales = np.where(largest > 0, largest / np.float32(_LARGEST), np.float32(1)).astype(np.float32)
        values = np.rint(matrix / scales).astype(np.int8)
        return cls(np.ascontiguousarray(values), scales)

    def restored(self) -> NDArray[np.float32]:
        """Return the dequantised matrix that is used in computation, ``[out, in]``."""
        return self.values * self.scales
