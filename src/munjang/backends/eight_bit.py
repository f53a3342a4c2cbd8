"""Matrix products in 8 bits: weights per output channel, inputs per token at run time, both symmetric.

A product of inputs x ``[T, K]`` with a matrix W ``[N, K]`` becomes::

    u = x / c                    c [K] brings the channels to similar ranges
    a = max|u| / 127             for each token and each group of `EightBitProducts.group` channels
    y = sum over groups of (round(u / a) · values) a · scales

``values`` and ``scales`` are W·c in int8 with one scale per output channel (arXiv:1712.05877). Dividing the
inputs by ``c`` and multiplying the weights by it is SmoothQuant (arXiv:2211.10438); ``c`` is a power of the
channel's range, which is measured with random tokens, because the channels with large values of a BERT model
are the same for all texts. A row depends on its own token alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from munjang.backends.executor import Array, Executor, as_float32
from munjang.backends.numpy import NumpyOps, NumpyProgram
from munjang.checkpoints.weights import release_pages
from munjang.models.batch import TokenBatch
from munjang.models.params import MadeOnce, Params
from munjang.models.program import Program

_LARGEST = np.float32(127)  # symmetric: -128 is not used
_BLOCK = 4096  # rows
_SMALLEST_PRODUCT = 32  # inputs and outputs; a classifier of a few labels stays in float32
_MULTIPLE = 16  # of the channels in a group, for the engine
_SMOOTHING = 0.6  # exponent; docs/performance.md has measurements of others
_LEAST_SMOOTHING = 1e-3
_SMOOTHED_ABOVE = 3.5  # largest range of a channel, relative to the median range
_TEXTS, _TOKENS = 8, 32  # of the random tokens
_FIRST_POSITIONS = np.array([0, 2], dtype=np.int32)  # RoBERTa's positions begin after that of padding


class EightBitMatrix(NamedTuple):
    """An int8 matrix with one scale per output channel: ``values * scales`` approximates the original.

    It takes a quarter of the memory reads, which limit the speed of generating one token at a time.

    ``values`` is ``[out, in]`` int8, ``scales`` is ``[out, 1]`` float32: the largest absolute value of each
    output channel becomes 127. ``smoothing`` ``[in]`` is the divisor of the inputs, if there is one.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    smoothing: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls, weight: NDArray[np.float32], *, transposed: bool, smoothing: NDArray[np.float32] | None = None
    ) -> EightBitMatrix:
        """Quantise a matrix: ``[out, in]`` if ``transposed`` (as in `Ops.affine`), else ``[in, out]``."""
        matrix = weight if transposed else weight.T
        values = np.empty(matrix.shape, dtype=np.int8)
        scales = np.empty((len(matrix), 1), dtype=np.float32)
        for start in range(0, len(matrix), _BLOCK):  # a vocabulary's matrix may have a gigabyte
            rows = slice(start, start + _BLOCK)
            block = matrix[rows] if smoothing is None else matrix[rows] * smoothing
            largest = np.abs(block).max(axis=1, keepdims=True)
            # A row of zeros stays zero for any scale.
            scales[rows] = np.where(largest > 0, largest / _LARGEST, np.float32(1))
            values[rows] = np.rint(block / scales[rows])
        return cls(values, scales, smoothing)

    def restored(self) -> NDArray[np.float32]:
        """Return the dequantised matrix that is used in computation, ``[out, in]``."""
        return self.values * self.scales


def whole_groups(channels: int, group: int) -> int:
    """Return the number of channels, rounded up to whole groups."""
    return math.ceil(channels / group) * group


def quantized(x: NDArray[np.float32], group: int) -> NDArray[np.float32]:
    """Return inputs ``[T, K]`` rounded to 8 bits for each token and group of channels, as float32."""
    tokens, channels = x.shape
    full = np.pad(x, ((0, 0), (0, whole_groups(channels, group) - channels))).reshape(tokens, -1, group)
    steps = np.abs(full).max(axis=-1, keepdims=True) / _LARGEST
    rounded = np.rint(full * (1 / np.maximum(steps, np.finfo(np.float32).tiny))) * steps
    return np.ascontiguousarray(rounded.reshape(tokens, -1)[:, :channels], dtype=np.float32)


class EightBitProducts:
    """The 8-bit form of a checkpoint's matrices; the programs that use them must be prepared before.

    ``group`` is the number of input channels with one step size: the width of the model, rounded up.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self._ranges: dict[str, NDArray[np.float32]] = {}  # [in], by the name of the matrix
        self._prepared: set[Program] = set()
        self.group = 0

    def prepare(self, program: Program) -> None:
        """Measure the ranges of the inputs of a program's products with random tokens.

        The products of earlier programs keep their ranges, so that equal layers have equal values.
        """
        if program in self._prepared:
            return
        ranges: dict[str, NDArray[np.float32]] = {}
        arrays = NamedArrays(self._weights)
        with np.errstate(over="ignore", invalid="ignore"):  # the outputs of texts are checked
            program(_RangeOps(ranges, arrays, self._weights), Params(arrays), _random_tokens())
        self._ranges = {**ranges, **self._ranges}
        if not self.group:
            widths = Counter(len(channels) for channels in ranges.values())
            self.group = whole_groups(widths.most_common(1)[0][0] if widths else 1, _MULTIPLE)
        self._prepared.add(program)

    def matrix(self, name: str, weight: Array, *, transposed: bool) -> EightBitMatrix | None:
        """Quantise a matrix, ``[out, in]`` if ``transposed``; ``None`` if its product stays in float32."""
        if min(weight.shape) < _SMALLEST_PRODUCT or name not in self._ranges:
            return None
        return EightBitMatrix.of(weight, transposed=transposed, smoothing=self._smoothing(name))

    def _smoothing(self, name: str) -> NDArray[np.float32] | None:
        """Return the divisors of a product's inputs; ``None`` if the ranges of its channels are similar.

        Wider inputs, behind an activation, have several groups, which suffice.
        """
        ranges = self._ranges[name]
        middle = float(np.median(ranges))
        wider = whole_groups(len(ranges), _MULTIPLE) > self.group
        if wider or not 0 < middle * _SMOOTHED_ABOVE < ranges.max():
            return None
        relative = np.maximum(ranges / middle, np.float32(_LEAST_SMOOTHING))
        return np.asarray(relative**_SMOOTHING, dtype=np.float32)


class NamedArrays(Mapping[str, Array]):
    """Weights as float32 arrays, created at each access; ``name_of`` returns the name of such an array."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self._names: dict[int, str] = {}

    def name_of(self, array: Array) -> str:
        """Return the name of an array that is in use."""
        return self._names.get(id(array), "")

    def __getitem__(self, name: str) -> Array:
        array = as_float32(name, self._weights[name])
        self._names[id(array)] = name  # an address is reused only after its array is deleted
        return array

    def __contains__(self, name: object) -> bool:
        return name in self._weights

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


class _RangeOps(NumpyOps):
    """Operations that record the largest absolute value of each input channel of the products."""

    def __init__(
        self, ranges: dict[str, NDArray[np.float32]], arrays: NamedArrays, weights: Mapping[str, Array]
    ) -> None:
        super().__init__(frozenset())
        self._ranges, self._arrays, self._weights = ranges, arrays, weights

    def rows(self, table: Array, index: Array) -> Array:
        return super().rows(table, index % len(table))

    def affine(self, x: Array, weight: Array, bias: Array | None, *, transposed: bool = True) -> Array:
        largest = np.abs(x).max(axis=0)
        name = self._arrays.name_of(weight)
        self._ranges[name] = np.maximum(largest, self._ranges.get(name, np.float32(0)))
        return super().affine(x, weight, bias, transposed=transposed)

    def tap(self, name: str, x: Array) -> Array:
        if name.startswith("layer.") and name.count(".") == 1:  # the end of a layer
            release_pages(self._weights)
        return super().tap(name, x)


class EightBitNumpyOps(NumpyOps):
    """`NumpyOps` with products in 8 bits: the reference for other executors, and not faster than float32.

    Without ``products`` all products are in float32. ``matrices`` caches the quantised weights by name.
    """

    def __init__(
        self,
        taps: frozenset[str] | None,
        cache: dict[str, Array] | None = None,
        *,
        products: EightBitProducts | None,
        arrays: NamedArrays,
        matrices: dict[str, EightBitMatrix | None],
    ) -> None:
        super().__init__(taps, cache)
        self._products, self._arrays, self._matrices = products, arrays, matrices

    def affine(self, x: Array, weight: Array, bias: Array | None, *, transposed: bool = True) -> Array:
        if self._products is None:
            return super().affine(x, weight, bias, transposed=transposed)
        name = self._arrays.name_of(weight)
        if name not in self._matrices:
            self._matrices[name] = self._products.matrix(name, weight, transposed=transposed)
        matrix = self._matrices[name]
        if matrix is None:
            return super().affine(x, weight, bias, transposed=transposed)
        smoothed = x if matrix.smoothing is None else np.asarray(x / matrix.smoothing, dtype=np.float32)
        return super().affine(quantized(smoothed, self._products.group), matrix.restored(), bias)


class EightBitNumpyExecutor(Executor):
    """An executor that uses NumPy alone, with products in 8 bits."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._arrays = NamedArrays(weights)
        self._params: Params[Array] = Params(MadeOnce(self._arrays, lambda _, array: array))
        self._products = EightBitProducts(weights)
        self._matrices: dict[str, EightBitMatrix | None] = {}

    def compile(self, program: Program) -> NumpyProgram:
        """Return a runnable program; nothing is compiled."""
        self._products.prepare(program)
        make_ops = partial(
            EightBitNumpyOps, products=self._products, arrays=self._arrays, matrices=self._matrices
        )
        return NumpyProgram(program, self._params, make_ops)


def _random_tokens() -> TokenBatch[Array]:
    """Return a batch of texts of random tokens; `_RangeOps` maps the token ids to the vocabulary."""
    tokens = np.arange(_TEXTS * _TOKENS, dtype=np.int32)
    random = np.random.default_rng(0)
    return TokenBatch(
        input_ids=random.integers(0, np.iinfo(np.int32).max, len(tokens), dtype=np.int32),
        position_ids=tokens % _TOKENS + np.repeat(_FIRST_POSITIONS, len(tokens) // 2),
        token_type_ids=np.zeros_like(tokens),
        pad_index=tokens.reshape(_TEXTS, _TOKENS),
        attention_bias=np.zeros((_TEXTS, 1, 1, _TOKENS), dtype=np.float32),
        unpad_index=tokens,
        rows=tokens,
        pool_weights=np.full((_TEXTS, 8, _TOKENS), 1 / _TOKENS, dtype=np.float32),
    )
