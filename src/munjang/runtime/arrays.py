"""Padded arrays, as callers hold them: reading theirs, and making ours from packed results."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.errors import InputError

__all__ = ["ModelOutput", "pad_attention", "pad_tokens", "whole_numbers"]


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What a model was asked for; everything else is ``None``.

    Attributes:
        last_hidden_state: ``[B, L, H]``; zero where the attention mask is zero.
        pooler_output: ``[B, H]``.
        logits: ``[B, num_labels]``.
        hidden_states: the embeddings and then each layer, ``num_hidden_layers + 1`` arrays ``[B, L, H]``.
        attentions: per layer ``[B, heads, L, L]``; zero where either token is masked.
    """

    last_hidden_state: NDArray[np.float32] | None = None
    pooler_output: NDArray[np.float32] | None = None
    logits: NDArray[np.float32] | None = None
    hidden_states: tuple[NDArray[np.float32], ...] | None = None
    attentions: tuple[NDArray[np.float32], ...] | None = None

    def __getitem__(self, key: str | int) -> Any:
        """Give an output by name, or by its place among those that are there."""
        if isinstance(key, str):
            return getattr(self, key)
        return [value for f in fields(self) if (value := getattr(self, f.name)) is not None][key]


def whole_numbers(name: str, value: ArrayLike) -> NDArray[np.integer[Any]]:
    """Read a caller's array ``[B, L]`` or row ``[L]`` of whole numbers; a mask may be of booleans.

    Raises `InputError` if it is something else.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name}: the rows have different lengths; tokenize with padding=True.") from None
    if array.size == 0 or (array.dtype == np.bool_ and name == "attention_mask"):
        array = array.astype(np.int64)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{name} must be whole numbers of shape [B, L], got {array.dtype} of shape {array.shape}."
        )
    return array


def pad_tokens(packed: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Put packed rows ``[T, H]`` where the padded arrays have their tokens: ``[B, L, H]``, zero elsewhere."""
    full = np.zeros((*mask.shape, packed.shape[-1]), dtype=np.float32)
    full[mask] = packed
    return full


def pad_attention(attention: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Put attention without padding, ``[B, heads, l, l]``, where the padded arrays have their tokens."""
    batch, heads = attention.shape[:2]
    full = np.zeros((batch, heads, mask.shape[1], mask.shape[1]), dtype=np.float32)
    for i, row in enumerate(mask):
        places = np.flatnonzero(row)
        n = len(places)
        full[i][np.ix_(np.arange(heads), places, places)] = attention[i, :, :n, :n]
    return full
