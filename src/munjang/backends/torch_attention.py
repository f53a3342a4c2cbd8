"""How the torch executor lays packed tokens out for attention: with gradients that only gather.

Each packed row stands in exactly one cell of the padded view, and no gradient ever reaches a cell of padding:
its key and value have probability zero, and what it saw is thrown away. So the gradient of laying out is
taking together, and the other way round; torch's own gradient of indexing would add up, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from munjang.backends.executor import Array
from munjang.models.batch import TokenBatch

__all__ = ["Group", "Groups", "grouped", "lay_out", "take_together"]

_WORTH_IT = 1.25  # cells per token from which texts of like length get a padded view of their own
_FEWEST = 512  # cells below which one view costs less than several


class _LayOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, pad_index: Tensor, unpad_index: Tensor) -> Tensor:
        ctx.save_for_backward(unpad_index)
        return x.index_select(0, pad_index.view(-1)).view(*pad_index.shape, x.shape[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (unpad_index,) = ctx.saved_tensors
        rows = gradients[0].reshape(-1, gradients[0].shape[-1])
        return rows.index_select(0, unpad_index), None, None


class _TakeTogether(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cells: Tensor, unpad_index: Tensor) -> Tensor:
        ctx.save_for_backward(unpad_index)
        ctx.count = cells.shape[0]
        return cells.index_select(0, unpad_index)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (unpad_index,) = ctx.saved_tensors
        rows = gradients[0]
        cells = rows.new_zeros(ctx.count, rows.shape[-1])
        return cells.index_copy_(0, unpad_index, rows), None


class _Reorder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (inverse,) = ctx.saved_tensors
        return gradients[0].index_select(0, inverse), None, None


def _apply(function: type[torch.autograd.Function], *given: Tensor) -> Tensor:
    return cast(Tensor, function.apply(*given))  # type: ignore[no-untyped-call]


def lay_out(x: Tensor, batch: TokenBatch[Tensor] | Group) -> Tensor:
    """Packed rows in the padded view: ``[T, H]`` -> ``[B, L, H]``."""
    return _apply(_LayOut, x, batch.pad_index, batch.unpad_index)


def take_together(cells: Tensor, batch: TokenBatch[Tensor] | Group) -> Tensor:
    """The cells of the padded view that hold tokens: ``[B * L, H]`` -> ``[T, H]``."""
    return _apply(_TakeTogether, cells, batch.unpad_index)


@dataclass(frozen=True, slots=True)
class Group:
    """Texts of like length: their padded view alone, with ``count`` tokens."""

    pad_index: Tensor
    unpad_index: Tensor
    attention_bias: Tensor
    count: int


@dataclass(frozen=True, slots=True)
class Groups:
    """A batch's texts in groups; ``order`` brings the packed rows into the groups' order."""

    order: Tensor
    inverse: Tensor
    groups: Sequence[Group]

    def split(self, x: Tensor) -> Sequence[Tensor]:
        """Packed rows ``[T, H]`` as the groups' rows."""
        ordered = _apply(_Reorder, x, self.order, self.inverse)
        return torch.split(ordered, [group.count for group in self.groups])

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The groups' rows as packed rows ``[T, H]``."""
        return _apply(_Reorder, torch.cat(tuple(parts)), self.inverse, self.order)


def grouped(batch: TokenBatch[Array], device: torch.device) -> Groups | None:
    """Put texts of like length together, so that attention meets little padding; None if it gains nothing."""
    is_token = np.zeros(batch.pad_index.size, dtype=bool)
    is_token[batch.unpad_index] = True
    lengths = is_token.reshape(batch.pad_index.shape).sum(axis=1)
    if batch.pad_index.size < max(_FEWEST, _WORTH_IT * lengths.sum()):
        return None
    starts = np.cumsum(lengths) - lengths
    members = _like_lengths(lengths)
    order = np.concatenate([np.arange(starts[i], starts[i] + lengths[i]) for group in members for i in group])
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return Groups(
        torch.from_numpy(order).to(device),
        torch.from_numpy(inverse).to(device),
        [_group(batch, lengths, group, device) for group in members],
    )


def _like_lengths(lengths: Array) -> list[list[int]]:
    """Cut the texts, shortest first, where the longest of a group would leave a fifth of its cells empty."""
    members: list[list[int]] = []
    tokens = 0
    for i in np.argsort(lengths, kind="stable"):
        cells = (len(members[-1]) + 1) * lengths[i] if members else 0
        if not members or (cells >= _FEWEST and cells > _WORTH_IT * (tokens + lengths[i])):
            members.append([])
            tokens = 0
        members[-1].append(int(i))
        tokens += lengths[i]
    return members


def _group(batch: TokenBatch[Array], lengths: Array, members: list[int], device: torch.device) -> Group:
    own = lengths[members]
    longest = int(own.max())
    starts = np.cumsum(own) - own
    columns = np.arange(longest)
    is_token = columns < own[:, None]
    bias = batch.attention_bias[members][..., :longest]
    if bias.shape[2] > 1:
        bias = bias[:, :, :longest]
    return Group(
        torch.from_numpy(np.where(is_token, starts[:, None] + columns, 0)).to(device),
        torch.from_numpy(np.flatnonzero(is_token)).to(device),
        torch.from_numpy(np.ascontiguousarray(bias)).to(device),
        int(own.sum()),
    )
