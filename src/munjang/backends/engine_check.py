"""Checks of a compiled graph: a probe with known values, and no product fused with another operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from munjang.backends.eight_bit import EightBitNumpyOps, EightBitProducts, NamedArrays
from munjang.backends.executor import Array
from munjang.models.batch import TokenBatch
from munjang.models.params import Params
from munjang.models.program import Program

FIRST_LAYER = "layer.0"  # the tap of the first layer's output in every architecture
_TOKENS = 3
_WEIGHTINGS = 8  # more than any program uses for pooling
_TOLERANCE = 1e-3  # relative to the largest value; a wrong kernel's error is as large as the values


def probe() -> TokenBatch[Array]:
    """Return a batch of one short text that is valid for every model."""
    numbers = np.arange(_TOKENS, dtype=np.int32)
    return TokenBatch(
        input_ids=numbers,
        position_ids=numbers,
        token_type_ids=np.zeros_like(numbers),
        pad_index=numbers[None],
        attention_bias=np.zeros((1, 1, 1, _TOKENS), dtype=np.float32),
        unpad_index=numbers,
        rows=numbers[:1],
        pool_weights=np.full((1, _WEIGHTINGS, _TOKENS), 1 / _TOKENS, dtype=np.float32),
    )


class _FirstLayerDone(Exception):  # noqa: N818 - ends a computation, not an error
    pass


class _UpToFirstLayer(EightBitNumpyOps):
    def tap(self, name: str, x: Array) -> Array:
        super().tap(name, x)
        if name == FIRST_LAYER:
            raise _FirstLayerDone
        return x


def first_layer(
    program: Program, weights: Mapping[str, Array], products: EightBitProducts | None = None
) -> Array | None:
    """Return the first row of the first layer's output for the probe, ``[1, H]``, computed with NumPy.

    Only the weights of this layer are read. ``None`` if the program has no such layer.
    """
    arrays = NamedArrays(weights)
    ops = _UpToFirstLayer(frozenset({FIRST_LAYER}), products=products, arrays=arrays, matrices={})
    try:
        program(ops, Params(arrays), probe())
    except _FirstLayerDone:
        return ops.kept[FIRST_LAYER][:1]
    return None


def differ(values: Array, expected: Array) -> bool:
    """Return whether the difference of values is larger than rounding error."""
    largest = np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))
    return not np.allclose(
        values, expected, rtol=0, atol=_TOLERANCE * max(float(largest), 1e-6), equal_nan=True
    )


def fused_products(compiled: Any) -> list[str]:
    """Return the names of the matrix products that the engine fused with a following operation."""
    info = (node.get_rt_info() for node in compiled.get_runtime_model().get_ops())
    products = [node for node in info if node["layerType"].astype(str) in ("FullyConnected", "Convolution")]
    names = (node["originalLayersNames"].astype(str) for node in products)
    return [name for name in names if "," in name]
