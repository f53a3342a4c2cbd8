"""Dropout on a CPU, faster than torch's implementation.

Torch draws one random number for each cell on one core, and with dropout its attention does not use the fast
kernel and bfloat16. Here the random numbers have 16 bits, so the rate is exact to within 1 in 100,000, and
their seed comes from torch's generator, so `torch.manual_seed` makes them reproducible.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

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
