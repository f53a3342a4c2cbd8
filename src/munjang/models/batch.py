"""Packed batches of tokens: the input of every model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class TokenBatch(Generic[A]):
    """The T tokens of B texts, concatenated without padding.

    Attributes:
        input_ids: ``[T]`` int32.
        position_ids: ``[T]`` int32, numbered as the architecture requires.
        token_type_ids: ``[T]`` int32.
        pad_index: ``[B, L]`` int32; the packed row's index for each cell of the padded view (0 for padding).
        attention_bias: ``[B, 1, 1 or L, L]`` float32; 0 where attention is allowed, far below 0 elsewhere.
        unpad_index: ``[T]`` int32; the index of each packed row's cell in the flattened padded view.
        rows: ``[R]`` int32; indices of the packed rows needed from the last layer, if not all are needed.
        pool_weights: ``[B, W, L]`` float32; W alternative weightings of a text's cells for pooling.
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
