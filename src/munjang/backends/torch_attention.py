"""The padded views of packed tokens for attention in the torch executor, with gradients that only gather.

Each packed row is in exactly one cell of a padded view, and no gradient reaches a padding cell: its key and
value have probability zero, and its context is discarded. So the gradient of padding (`lay_out`) is packing
(`take_together`), and vice versa; torch's own gradient of indexing would accumulate row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from munjang.backends.executor import Array
from munjang.models.batch import TokenBatch

_WORTH_IT = 1.25  # cells per token above which texts of similar length get a separate padded view
_FEWEST = 512  # number of cells below which one view is cheaper than several


class _LayOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, cells: Tensor) -> Tensor:
        ctx.save_for_backward(cells)
        return x.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (cells,) = ctx.saved_tensors
        return gradients[0].index_select(0, cells), None, None


class _TakeTogether(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cells: Tensor) -> Tensor:
        ctx.save_for_backward(cells)
        ctx.count = x.shape[0]
        return x.index_select(0, cells)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (cells,) = ctx.saved_tensors
        rows = gradients[0]
        return rows.new_zeros(ctx.count, rows.shape[-1]).index_copy_(0, cells, rows), None


def _apply(function: type[torch.autograd.Function], *given: Tensor) -> Tensor:
    return cast(Tensor, function.apply(*given))  # type: ignore[no-untyped-call]


def lay_out(x: Tensor, batch: TokenBatch[Tensor]) -> Tensor:
    """Return packed rows in the padded view: ``[T, H]`` -> ``[B, L, H]``."""
    cells = _apply(_LayOut, x, batch.pad_index.view(-1), batch.unpad_index)
    return cells.view(*batch.pad_index.shape, x.shape[-1])


def take_together(x: Tensor, batch: TokenBatch[Tensor]) -> Tensor:
    """Return the cells of the padded view that hold tokens: ``[B * L, H]`` -> ``[T, H]``."""
    return _apply(_TakeTogether, x, batch.unpad_index)


@dataclass(frozen=True, slots=True)
class _Group:
    """Texts of similar length: the packed row's index for each cell of the padded view, and a token mask."""

    rows: NDArray[np.intp]  # [B, L]
    is_token: NDArray[np.bool_]  # [B, L]
    attention_bias: Tensor


class Groups:
    """The texts of a batch grouped by length, each group with a separate padded view, to reduce padding."""

    def __init__(self, batch: TokenBatch[Array], device: torch.device) -> None:
        is_token = np.zeros(batch.pad_index.shape, dtype=bool)
        is_token.flat[batch.unpad_index] = True
        members = _like_lengths(is_token.sum(axis=1))
        self._device, self._tokens = device, len(batch.unpad_index)
        self._groups = [_group(batch, is_token, texts, device) for texts in members]
        self._of_heads: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def biases(self) -> Sequence[Tensor]:
        """The attention bias of each group, ``[B, 1, 1, L]`` or ``[B, 1, L, L]``."""
        return [group.attention_bias for group in self._groups]

    def lay_out(self, x: Tensor, heads: int) -> Sequence[Tensor]:
        """Return packed rows as the groups' padded views by head: ``[T, H]`` -> ``[B, heads, L, d]``."""
        rows, cells = self._index(heads)
        rows_by_group = _apply(_LayOut, x.reshape(-1, x.shape[-1] // heads), rows, cells)
        parts = torch.split(rows_by_group, [group.rows.size * heads for group in self._groups])
        return [
            part.view(len(group.rows), heads, group.rows.shape[1], -1)
            for part, group in zip(parts, self._groups, strict=True)
        ]

    def take_together(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the groups' padded views as packed rows: ``[B, heads, L, d]`` -> ``[T, H]``."""
        heads, size = parts[0].shape[1], parts[0].shape[3]
        _, cells = self._index(heads)
        joined = torch.cat([part.reshape(-1, size) for part in parts])
        return _apply(_TakeTogether, joined, cells).view(-1, heads * size)

    def _index(self, heads: int) -> tuple[Tensor, Tensor]:
        """Return the index of the row ``token * heads + head`` for each cell, and the cell of each such row.

        Views are gathered per head, so no second copy is needed to split the heads.
        """
        if heads not in self._of_heads:
            rows, cells = [], np.empty((self._tokens, heads), dtype=np.int64)
            start = 0
            for group in self._groups:
                rows.append((group.rows[:, None, :] * heads + np.arange(heads)[:, None]).ravel())
                texts, length = group.rows.shape
                numbers = np.arange(start, start + rows[-1].size).reshape(texts, heads, length)
                cells[group.rows[group.is_token]] = numbers.transpose(0, 2, 1)[group.is_token]
                start += numbers.size
            self._of_heads[heads] = (
                torch.from_numpy(np.concatenate(rows)).to(self._device),
                torch.from_numpy(cells.ravel()).to(self._device),
            )
        return self._of_heads[heads]


def _group(
    batch: TokenBatch[Array], is_token: NDArray[np.bool_], texts: Sequence[int], device: torch.device
) -> _Group:
    longest = int(is_token[texts].sum(axis=1).max())
    bias = batch.attention_bias[texts][..., :longest, :longest]  # if rows are equal, the axis has length 1
    return _Group(
        batch.pad_index[texts, :longest].astype(np.int64),
        is_token[texts, :longest],
        torch.from_numpy(np.ascontiguousarray(bias)).to(device),
    )


def _like_lengths(lengths: NDArray[np.intp]) -> list[list[int]]:
    """Split the texts, sorted by length, into groups so that padding stays below about a fifth of the cells.

    If there is little padding, or the batch is small, all texts are one group.
    """
    if lengths.size * lengths.max() < max(_FEWEST, _WORTH_IT * lengths.sum()):
        return [list(range(len(lengths)))]
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
