"""The reference executor: plain NumPy, with access to every intermediate value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.backends.executor import Array, Executor, OneByOne, Outputs, as_float32, gathered
from munjang.models.batch import TokenBatch
from munjang.models.ops import LAPLACE_DEVIATION, LAPLACE_MEAN, PoolMode
from munjang.models.params import MadeOnce, Params
from munjang.models.program import Program

_LARGE_NEGATIVE = np.float32(-1e9)


@cache
def _erf_series() -> np.polynomial.Chebyshev:
    """Return the error function on [-6, 6] to about 1e-14; beyond, it is 1 in double precision."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return np.polynomial.Chebyshev.interpolate(erf, 101, domain=[-6.0, 6.0])


def _erf(x: Array) -> Array:
    # Not the series' value at the ends: multiplied by a large number, its rounding error would matter.
    return np.where(np.abs(x) < 6.0, _erf_series()(np.clip(x, -6.0, 6.0).astype(np.float64)), np.sign(x))


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0)))


def _gelu_new(x: Array) -> Array:
    with np.errstate(over="ignore"):  # the cube of a large number; there tanh is 1 anyway
        return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _relu_squared(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.square(np.maximum(x, 0.0))


_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "gelu": _gelu,
    "gelu_python": _gelu,
    "gelu_new": _gelu_new,
    "gelu_fast": _gelu_new,
    "gelu_accurate": _gelu_new,
    "gelu_python_tanh": _gelu_new,
    "gelu_pytorch_tanh": _gelu_new,
    "gelu_10": lambda x: np.clip(_gelu(x), -10.0, 10.0),
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0.0),
    "relu2": _relu_squared,
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "hardswish": lambda x: x * (np.clip(x + 3.0, 0.0, 6.0) / 6.0),
    "laplace": lambda x: 0.5 * (1.0 + _erf((x - LAPLACE_MEAN) / (LAPLACE_DEVIATION * math.sqrt(2.0)))),
    "sqrtsoftplus": lambda x: np.sqrt(np.logaddexp(0.0, x)),
    "silu": lambda x: x * _sigmoid(x),
    "swish": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "linear": lambda x: x,
}


def activate(name: str, x: Array) -> Array:
    """Apply one of `munjang.models.ops.ACTIVATIONS` to each element; the dtype stays the same."""
    return _ACTIVATIONS[name](x).astype(x.dtype, copy=False)


class NumpyOps:
    """`munjang.models.ops.Ops` over NumPy arrays; ``taps`` names the taps to keep, ``None`` keeps all."""

    def __init__(self, taps: frozenset[str] | None, cache: dict[str, Array] | None = None) -> None:
        self._wanted = taps
        self._cache = {} if cache is None else cache
        self.kept: dict[str, Array] = {}

    def rows(self, table: Array, index: Array) -> Array:
        return np.asarray(table[index], dtype=np.float32)

    def linear(self, x: Array, params: Params[Array]) -> Array:
        return self.affine(x, params["weight"], params.get("bias"))

    def affine(self, x: Array, weight: Array, bias: Array | None, *, transposed: bool = True) -> Array:
        y = x @ (weight.T if transposed else weight)
        return y if bias is None else y + bias

    def layer_norm(self, x: Array, params: Params[Array], eps: float) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scaled: Array = centred / np.sqrt(variance + np.float32(eps))
        return scaled * params["weight"] + params["bias"]

    def activation(self, name: str, x: Array) -> Array:
        return activate(name, x)

    def attention(
        self,
        query: Array,
        key: Array,
        value: Array,
        batch: TokenBatch[Array],
        *,
        heads: int,
        dropout: float,  # noqa: ARG002 - inference only
        name: str,
        cached: bool = False,
    ) -> Array:
        def split(x: Array) -> Array:  # [T, H] -> [B, heads, L, H / heads]
            padded = x[batch.pad_index]
            return padded.reshape(*padded.shape[:2], heads, -1).transpose(0, 2, 1, 3)

        keys, values = split(key), split(value)
        if cached:
            keys, values = self._remember(f"{name}.key", keys), self._remember(f"{name}.value", values)
        scores = split(query) @ keys.transpose(0, 1, 3, 2) / np.float32(math.sqrt(query.shape[-1] // heads))
        scores = self.tap(f"{name}.scores", scores) + batch.attention_bias
        probabilities = self.tap(f"{name}.probabilities", self.softmax(scores))
        context = (probabilities @ values).transpose(0, 2, 1, 3)  # [B, L, heads, H / heads]
        return context.reshape(-1, value.shape[-1])[batch.unpad_index]

    def _remember(self, name: str, new: Array) -> Array:
        """Append this call's keys or values to the cache of earlier calls: ``[B, heads, L, d]``."""
        past = self._cache.get(name)
        self._cache[name] = new if past is None else np.concatenate([past, new], axis=2)
        return self._cache[name]

    def softmax(self, x: Array) -> Array:
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        result: Array = powers / powers.sum(axis=-1, keepdims=True)
        return result

    def split(self, x: Array, parts: int) -> Sequence[Array]:
        return np.split(x, parts, axis=-1)

    def concat(self, parts: Sequence[Array]) -> Array:
        return np.concatenate(parts, axis=-1)

    def pool(self, x: Array, batch: TokenBatch[Array], mode: PoolMode, weighting: int) -> Array:
        weights = batch.pool_weights[:, weighting, :, None]  # [B, L, 1]
        padded = x[batch.pad_index]  # [B, L, H]
        if mode == "sum":
            return np.asarray((padded * weights).sum(axis=1))
        return np.asarray(np.where(weights > 0, padded, _LARGE_NEGATIVE).max(axis=1))

    def normalize(self, x: Array) -> Array:
        length: Array = np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), np.float32(1e-12))
        return x / length

    def dropout(self, x: Array, rate: float) -> Array:  # noqa: ARG002 - inference only
        return x

    def tap(self, name: str, x: Array) -> Array:
        if self._wanted is None or name in self._wanted:
            self.kept[name] = x
        return x


class NumpyProgram(OneByOne):
    """A program over arrays; ``make_ops`` creates the operations from the names of the taps."""

    def __init__(self, program: Program, params: Params[Array], make_ops: Callable[..., NumpyOps]) -> None:
        self._program = program
        self._params = params
        self._make_ops = make_ops

    def __call__(self, batch: TokenBatch[Array]) -> Outputs:
        return self._run(self._make_ops(self._program.taps), batch)

    def _run(self, ops: NumpyOps, batch: TokenBatch[Array]) -> Outputs:
        with np.errstate(over="ignore", invalid="ignore"):  # the caller checks the outputs
            return gathered(self._program, ops.kept, self._program(ops, self._params, batch))

    def session(self) -> Callable[[TokenBatch[Array]], Outputs]:
        cache: dict[str, Array] = {}
        return lambda batch: self._run(self._make_ops(self._program.taps, cache), batch)


class NumpyExecutor(Executor):
    """An executor that uses NumPy alone."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._params: Params[Array] = Params(MadeOnce(weights, as_float32))

    def compile(self, program: Program) -> NumpyProgram:
        """Return a runnable program; nothing is compiled."""
        return NumpyProgram(program, self._params, NumpyOps)

    def every_value(self, program: Program, batch: TokenBatch[Array]) -> dict[str, Array]:
        """Run a program and return every named intermediate value and the outputs."""
        ops = NumpyOps(None)
        outputs = program(ops, self._params, batch)
        return {**ops.kept, **outputs}
