"""The torch executor: for training, with gradients, and for GPUs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from munjang.backends.executor import Array, Executor, OneByOne, Outputs, as_float32, gathered
from munjang.backends.torch_attention import Groups, lay_out, take_together
from munjang.models.batch import TokenBatch
from munjang.models.ops import LAPLACE_DEVIATION, LAPLACE_MEAN, PoolMode
from munjang.models.params import Params
from munjang.models.program import Program

_LARGE_NEGATIVE = -1e9


def _gelu_tanh(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_python": functional.gelu,
    "gelu_new": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_accurate": _gelu_tanh,
    "gelu_python_tanh": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_10": lambda x: functional.gelu(x).clamp(-10.0, 10.0),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": functional.relu,
    "relu2": lambda x: functional.relu(x).square(),
    "relu6": functional.relu6,
    "leaky_relu": functional.leaky_relu,
    "hardswish": functional.hardswish,
    "laplace": lambda x: 0.5 * (1.0 + torch.erf((x - LAPLACE_MEAN) / (LAPLACE_DEVIATION * math.sqrt(2.0)))),
    # Far below 0 the softplus is 0, where the square root has no derivative.
    "sqrtsoftplus": lambda x: functional.softplus(x).clamp_min(torch.finfo(x.dtype).tiny).sqrt(),
    "silu": functional.silu,
    "swish": functional.silu,
    "mish": functional.mish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "linear": lambda x: x,
}


# Dropout on a CPU, faster than torch's implementation: torch draws one random number for each cell on one
# core, and with dropout its attention does not use the fast kernel and bfloat16. Here the random numbers have
# 16 bits, so the rate is exact to within 1 in 100,000, and their seed comes from torch's generator, so that
# `torch.manual_seed` makes them reproducible.
_BITS = 16
_ONE = np.int16(0x3F80)  # 1.0 in bfloat16


def _drawn_here(x: Tensor, rate: float) -> bool:
    return x.device.type == "cpu" and 0 < rate < 1


def _kept(x: Tensor, rate: float) -> Tensor:
    """Return 1 for each cell that is kept, else 0, in the shape and dtype of ``x``."""
    rng = np.random.Generator(np.random.SFC64(int(torch.randint(1 << 62, ()))))
    words = rng.integers(0, 1 << 64, -(-x.numel() * _BITS // 64), dtype=np.uint64)
    kept = words.view(np.uint16)[: x.numel()] < round((1 - rate) * (1 << _BITS))
    if x.dtype == torch.bfloat16:  # with NumPy, which is several times faster than torch here
        return torch.from_numpy(kept.view(np.int8) * _ONE).view(torch.bfloat16).view(x.shape)
    return torch.from_numpy(kept.astype(np.float32)).view(x.shape).to(x.dtype)


def dropout(x: Tensor, rate: float) -> Tensor:
    """Set cells to 0 with a probability of ``rate`` and scale the others by 1 / (1 - rate)."""
    if not _drawn_here(x, rate):
        return functional.dropout(x, rate)
    return x * _kept(x, rate) * (1 / (1 - rate))


def attention_with_dropout(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, rate: float) -> Tensor:
    """Compute scaled dot-product attention with dropout on the probabilities: all ``[B, heads, L, d]``.

    The computation has the dtype of the query; ``bias`` is added to the scores.
    """
    if not _drawn_here(query, rate):
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=rate)
    with torch.autocast("cpu", enabled=False):
        scores = (query * (1 / math.sqrt(query.shape[-1]))) @ key.transpose(-1, -2)
        probabilities = scores.add_(bias).softmax(dim=-1)
        dropped = probabilities * _kept(probabilities, rate)
        return (dropped @ value) * (1 / (1 - rate))


class TorchOps:
    """`munjang.models.ops.Ops` over torch tensors; dropout acts only if ``training``."""

    def __init__(
        self,
        taps: frozenset[str] = frozenset(),
        *,
        training: bool = False,
        cache: dict[str, Tensor] | None = None,
        groups: Groups | None = None,
    ) -> None:
        self._wanted = taps
        self._groups = groups
        self._cache = {} if cache is None else cache
        self._training = training
        self.kept: dict[str, Tensor] = {}

    def rows(self, table: Tensor, index: Tensor) -> Tensor:
        return functional.embedding(index, table)

    def linear(self, x: Tensor, params: Params[Tensor]) -> Tensor:
        return self.affine(x, params["weight"], params.get("bias"))

    def affine(self, x: Tensor, weight: Tensor, bias: Tensor | None, *, transposed: bool = True) -> Tensor:
        return functional.linear(x, weight if transposed else weight.T, bias)

    def layer_norm(self, x: Tensor, params: Params[Tensor], eps: float) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], params["weight"], params["bias"], eps)

    def activation(self, name: str, x: Tensor) -> Tensor:
        return _ACTIVATIONS[name](x)

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        batch: TokenBatch[Tensor],
        *,
        heads: int,
        dropout: float,
        name: str,
        cached: bool = False,
    ) -> Tensor:
        looked_at = {f"{name}.scores", f"{name}.probabilities"}
        if self._groups is not None and not cached and not self._wanted & looked_at:
            parts = (self._groups.lay_out(x, heads) for x in (query, key, value))
            biases = self._groups.biases
            return self._groups.take_together(
                [self._attend(q, k, v, bias, dropout) for q, k, v, bias in zip(*parts, biases, strict=True)]
            )
        q, k, v = (_heads(x, batch, heads) for x in (query, key, value))
        if cached:
            k, v = self._remember(f"{name}.key", k), self._remember(f"{name}.value", v)
        if not self._wanted & looked_at:
            return _rows(self._attend(q, k, v, batch.attention_bias, dropout), batch)
        scores = self.tap(f"{name}.scores", q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]))
        probabilities = self.softmax(scores + batch.attention_bias)
        self.tap(f"{name}.probabilities", probabilities)
        return _rows(self.dropout(probabilities, dropout) @ v, batch)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, dropout: float) -> Tensor:
        return attention_with_dropout(q, k, v, bias.to(q.dtype), dropout if self._training else 0.0)

    def _remember(self, name: str, new: Tensor) -> Tensor:
        """Append this call's keys or values to the cache of earlier calls: ``[B, heads, L, d]``."""
        past = self._cache.get(name)
        self._cache[name] = new if past is None else torch.cat([past, new], dim=2)
        return self._cache[name]

    def softmax(self, x: Tensor) -> Tensor:
        return x.softmax(dim=-1)

    def split(self, x: Tensor, parts: int) -> Sequence[Tensor]:
        return x.chunk(parts, dim=-1)

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(tuple(parts), dim=-1)

    def pool(self, x: Tensor, batch: TokenBatch[Tensor], mode: PoolMode, weighting: int) -> Tensor:
        padded = lay_out(x, batch)
        weights = batch.pool_weights[:, weighting, :, None]
        if mode == "sum":
            return (padded * weights).sum(dim=1)
        return padded.masked_fill(weights <= 0, _LARGE_NEGATIVE).amax(dim=1)

    def normalize(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=-1, eps=1e-12)

    def dropout(self, x: Tensor, rate: float) -> Tensor:
        return dropout(x, rate) if self._training else x

    def tap(self, name: str, x: Tensor) -> Tensor:
        if name in self._wanted:
            self.kept[name] = x
        return x


def _heads(x: Tensor, batch: TokenBatch[Tensor], heads: int) -> Tensor:
    """Return packed rows as a padded view, split into heads: ``[T, H]`` -> ``[B, heads, L, H / heads]``."""
    padded = lay_out(x, batch)
    return padded.view(*padded.shape[:2], heads, -1).transpose(1, 2)


def _rows(context: Tensor, batch: TokenBatch[Tensor]) -> Tensor:
    """Return the padded view as packed rows again: ``[B, heads, L, d]`` -> ``[T, H]``."""
    joined = context.transpose(1, 2)
    return take_together(joined.reshape(-1, joined.shape[2] * joined.shape[3]), batch)


def to_tensor(array: Array, device: torch.device | str = "cpu") -> Tensor:
    """Copy a batch array or a weight to a device; index arrays become int64, as torch requires."""
    tensor = torch.from_numpy(np.array(array))
    return tensor.to(device, torch.int64 if array.dtype == np.int32 else tensor.dtype)


class _TorchProgram(OneByOne):
    def __init__(self, program: Program, executor: TorchExecutor) -> None:
        self._program = program
        self._executor = executor

    def __call__(self, batch: TokenBatch[Array]) -> Outputs:
        return self._run(batch, None)

    def _run(self, batch: TokenBatch[Array], cache: dict[str, Tensor] | None) -> Outputs:
        ops = TorchOps(self._program.taps, cache=cache)
        with torch.inference_mode():
            outputs = self._program(ops, self._executor.params, self._executor.batch(batch))
            values = gathered(self._program, ops.kept, outputs)
            return {name: value.float().cpu().numpy() for name, value in values.items()}

    def session(self) -> Callable[[TokenBatch[Array]], Outputs]:
        cache: dict[str, Tensor] = {}
        return lambda batch: self._run(batch, cache)


class TorchExecutor(Executor):
    """An executor that uses torch; ``parameters`` are leaf tensors that a caller may train or move (`to`)."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self.device = torch.device("cpu")
        self.parameters: dict[str, Tensor] = {
            name: _parameter(name, value) for name, value in weights.items()
        }

    @property
    def params(self) -> Params[Tensor]:
        """The parameters as a `Params` view for models."""
        return Params(self.parameters)

    def to(self, device: torch.device) -> None:
        """Move every parameter to a device."""
        self.device = device
        for name, value in self.parameters.items():
            self.parameters[name] = value.detach().to(device).requires_grad_(value.requires_grad)

    def batch(self, batch: TokenBatch[Array]) -> TokenBatch[Tensor]:
        """Copy a batch to the parameters' device."""
        return batch.map(lambda array: to_tensor(array, self.device))

    def compile(self, program: Program) -> _TorchProgram:
        """Return a runnable program; nothing is compiled."""
        return _TorchProgram(program, self)

    def forward(
        self,
        program: Program,
        batch: TokenBatch[Array],
        *,
        training: bool = False,
        params: Params[Tensor] | None = None,
    ) -> dict[str, Any]:
        """Run a program with gradients; the results are tensors. ``params`` may replace the parameters."""
        ops = TorchOps(program.taps, training=training, groups=Groups(batch, self.device))
        outputs = program(ops, params or self.params, self.batch(batch))
        return gathered(program, ops.kept, outputs)


def _parameter(name: str, value: Array) -> Tensor:
    """Return a trainable weight; integer tensors are buffers, such as old checkpoints' ``position_ids``."""
    if name.endswith((".weight", ".bias")):
        value = as_float32(name, value)
    return to_tensor(value).requires_grad_(bool(np.issubdtype(value.dtype, np.floating)))
