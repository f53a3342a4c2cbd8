"""Padded arrays of the caller: reading the input arrays, and padding packed results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.errors import InputError

__all__ = ["ModelOutput", "pad_attention", "pad_tokens", "whole_numbers"]


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """The requested outputs of a model; all other outputs are ``None``.

    An output can be read as an attribute, by name (``output["logits"]``), by index among the present outputs
    (``output[0]``, ``output[:2]``), or by unpacking: iteration is over the values. ``keys()``, ``values()``,
    ``items()``, ``to_tuple()``, ``len`` and ``in`` include only the present outputs.

    Attributes:
        loss: a scalar, if labels were given (`munjang.transformers`).
        last_hidden_state: ``[B, L, H]``; zero where the attention mask is zero.
        pooler_output: ``[B, H]``.
        logits: ``[B, num_labels]``, or a row per token.
        start_logits, end_logits: ``[B, L]``, of a question-answering model of `munjang.transformers`.
        hidden_states: the embeddings and then each layer, ``num_hidden_layers + 1`` arrays ``[B, L, H]``.
        attentions: per layer ``[B, heads, L, L]``; zero where either token is masked.
    """

    loss: NDArray[np.float32] | None = None
    last_hidden_state: NDArray[np.float32] | None = None
    pooler_output: NDArray[np.float32] | None = None
    logits: NDArray[np.float32] | None = None
    start_logits: NDArray[np.float32] | None = None
    end_logits: NDArray[np.float32] | None = None
    hidden_states: tuple[NDArray[np.float32], ...] | None = None
    attentions: tuple[NDArray[np.float32], ...] | None = None

    def __getitem__(self, key: str | int | slice) -> Any:
        """Return an output by name, or by its index among the present outputs."""
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self:
            raise KeyError(f"The output has no {key!r}; it has {', '.join(self.keys())}.")
        return getattr(self, key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def keys(self) -> list[str]:
        """Return the names of the present outputs."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    def values(self) -> tuple[Any, ...]:
        """Return the present outputs."""
        return self.to_tuple()

    def items(self) -> list[tuple[str, Any]]:
        """Return the names and values of the present outputs."""
        return [(name, getattr(self, name)) for name in self.keys()]

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the present outputs."""
        return tuple(getattr(self, name) for name in self.keys())


def whole_numbers(name: str, value: ArrayLike) -> NDArray[np.integer[Any]]:
    """Return a caller's array ``[B, L]`` or row ``[L]`` as integers; a mask may be boolean.

    Raises `InputError` for any other type.
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
    """Return packed rows ``[T, H]`` at the token positions of the mask: ``[B, L, H]``, zero elsewhere."""
    full = np.zeros((*mask.shape, packed.shape[-1]), dtype=np.float32)
    full[mask] = packed
    return full


def pad_attention(attention: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return attention without padding, ``[B, heads, l, l]``, at the token positions of the mask."""
    batch, heads = attention.shape[:2]
    full = np.zeros((batch, heads, mask.shape[1], mask.shape[1]), dtype=np.float32)
    for i, row in enumerate(mask):
        places = np.flatnonzero(row)
        n = len(places)
        full[i][np.ix_(np.arange(heads), places, places)] = attention[i, :, :n, :n]
    return full
