"""Packed tokens: the one input of every model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

__all__ = ["BATCH_FIELDS", "TokenBatch"]

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class TokenBatch(Generic[A]):
    """The T tokens of B texts, one after another, with no padding.

    Attributes:
        input_ids: ``[T]`` int32.
        position_ids: ``[T]`` int32, as the architecture counts them.
        token_type_ids: ``[T]`` int32.
        pad_index: ``[B, L]`` int32; the packed row that fills each cell of the padded view (0 in padding).
        attention_bias: ``[B, 1, 1 or L, L]`` float32; 0 where a token may look, far below 0 elsewhere.
        unpad_index: ``[T]`` int32; the cell of the flattened padded view where each packed row stands.
        rows: ``[R]`` int32; the packed rows that the caller wants of the last layer, when not all of them.
        pool_weights: ``[B, W, L]`` float32; W ways to weigh a text's cells when its vectors are pooled.
    """

    input_ids: A
    position_ids: A
    token_type_ids: A
    pad_index: A
    attention_bias: A
    unpad_index: A
    rows: A
    pool_weights: A

    def map(self, function: Callable[[A], B]) -> TokenBatch[B]:
        """Apply a function to every array, for example to move them to a device."""
        return TokenBatch(*(function(getattr(self, name)) for name in BATCH_FIELDS))


BATCH_FIELDS = tuple(field.name for field in fields(TokenBatch))
