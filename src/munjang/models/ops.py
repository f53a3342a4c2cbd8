"""The operations that every model uses, and that each executor implements.

``A`` is the executor's array type: an ``ndarray``, an OpenVINO output, a torch tensor. Its ``+``, ``-``,
``*`` and ``/`` are used directly. Shapes: T packed tokens, B texts, L the longest text's length, H the width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeVar

from munjang.models.batch import TokenBatch
from munjang.models.params import Params

# The array type depends on the executor; a Protocol for "has + - * /" would add no information.
A = TypeVar("A", bound=Any)
PoolMode = Literal["sum", "max"]

ACTIVATIONS = frozenset(
    {
        "gelu",  # x * Phi(x) with the exact error function, arXiv:1606.08415
        "gelu_python",
        "gelu_new",  # the tanh approximation of the same paper
        "gelu_fast",
        "gelu_accurate",
        "gelu_python_tanh",
        "gelu_pytorch_tanh",
        "gelu_10",  # gelu between -10 and 10, arXiv:2004.09602
        "quick_gelu",  # x * sigmoid(1.702 x), same paper as gelu
        "relu",
        "relu2",  # the square of relu, arXiv:2109.08668
        "relu6",
        "leaky_relu",  # 0.01 x below 0
        "hardswish",  # x * relu6(x + 3) / 6, arXiv:1905.02244
        "laplace",  # a squared relu between 0 and 1, arXiv:2209.10655
        "sqrtsoftplus",  # sqrt(log(1 + exp(x)))
        "silu",  # x * sigmoid(x), arXiv:1702.03118
        "swish",
        "mish",  # x * tanh(softplus(x)), arXiv:1908.08681
        "sigmoid",
        "tanh",
        "linear",
    }
)

# Parameters of the normal distribution whose distribution function is "laplace", rounded as published.
LAPLACE_MEAN, LAPLACE_DEVIATION = 0.707107, 0.282095


class Ops(Protocol[A]):
    """The operations an executor must implement. Keep the set small: models use no other operations."""

    def rows(self, table: A, index: A) -> A:
        """Gather rows: ``[N, H]`` and ``[T]`` -> ``[T, H]``."""
        ...

    def linear(self, x: A, params: Params[A]) -> A:
        """Compute ``x @ weight.T + bias``: ``[..., in]`` -> ``[..., out]``; the bias may be absent."""
        ...

    def affine(self, x: A, weight: A, bias: A | None, *, transposed: bool = True) -> A:
        """Compute ``x @ weight.T + bias``, or ``x @ weight + bias`` if the matrix is stored ``[in, out]``."""
        ...

    def layer_norm(self, x: A, params: Params[A], eps: float) -> A:
        """Normalise over the last axis, then scale and shift (arXiv:1607.06450)."""
        ...

    def activation(self, name: str, x: A) -> A:
        """Apply one of `ACTIVATIONS` to each element."""
        ...

    def attention(
        self,
        query: A,
        key: A,
        value: A,
        batch: TokenBatch[A],
        *,
        heads: int,
        dropout: float,
        name: str,
        cached: bool = False,
    ) -> A:
        """Compute scaled dot-product attention inside each text: three ``[T, H]`` -> ``[T, H]``.

        See arXiv:1706.03762. With ``cached``, the keys and values of earlier calls are prepended to the new
        ones, and ``attention_bias`` covers both. Taps ``{name}.probabilities``, ``[B, heads, L, L]``.
        """
        ...

    def softmax(self, x: A) -> A:
        """Compute softmax over the last axis."""
        ...

    def split(self, x: A, parts: int) -> Sequence[A]:
        """Split the last axis into equal parts."""
        ...

    def concat(self, parts: Sequence[A]) -> A:
        """Concatenate along the last axis."""
        ...

    def pool(self, x: A, batch: TokenBatch[A], mode: PoolMode, weighting: int) -> A:
        """Pool each text's rows: ``[T, H]`` -> ``[B, H]``.

        The sum of the rows times ``pool_weights[:, weighting]``, or the maximum of rows with positive weight.
        """
        ...

    def normalize(self, x: A) -> A:
        """Scale each row to length 1; a zero row stays zero."""
        ...

    def dropout(self, x: A, rate: float) -> A:
        """Apply dropout while training; return ``x`` unchanged otherwise."""
        ...

    def tap(self, name: str, x: A) -> A:
        """Name an intermediate value and return it; it is stored only if the name was requested."""
        ...
