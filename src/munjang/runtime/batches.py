"""Packed batches from token ids: the grouping of texts, and the index arrays of each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig

__all__ = ["MASKED", "Layout", "TokenIdsLike", "check_lengths", "different", "pack", "plan", "unpad"]

Array = NDArray[np.int32]
MASKED = np.float32(-1e9)  # added to an attention score, it makes the probability exactly zero
_FEWEST_TOKENS = 64  # with fewer tokens, distribution over cores costs more time than it saves


class TokenIdsLike(Protocol):
    """The tokens of one text; ``token_type_ids`` is ``None`` if all are zero."""

    @property
    def input_ids(self) -> Sequence[int]:
        """The ids of the pieces, special tokens included."""
        ...

    @property
    def token_type_ids(self) -> Sequence[int] | None:
        """The text of a pair (0 or 1) of each token."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """The model's properties that packing needs: its limits and its position numbering."""

    vocab_size: int
    type_vocab_size: int
    max_length: int
    position_offset: int
    pad_token_id: int
    causal: bool = False

    @classmethod
    def of(cls, config: EncoderConfig) -> Layout:
        """Create the layout from a model's config."""
        return cls(
            vocab_size=config.vocab_size,
            type_vocab_size=config.type_vocab_size,
            max_length=config.max_length,
            position_offset=config.position_offset,
            pad_token_id=config.pad_token_id,
            causal=config.causal,
        )


def plan(lengths: Sequence[int], *, token_budget: int, streams: int) -> list[list[int]]:
    """Distribute texts over requests: similar lengths together, about ``token_budget`` tokens per request.

    Returns the indices of the texts in each request, longest texts first, so that the last requests, which
    determine when the slowest core finishes, are short. Small calls are split so that every stream has work.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    total = sum(lengths)
    requests = -(-total // token_budget)
    if requests % streams and total >= streams * _FEWEST_TOKENS:
        requests += streams - requests % streams
        token_budget = -(-total // requests)
    groups: list[list[int]] = []
    used = 0
    for i in order:
        if not groups or used + lengths[i] > token_budget:
            groups.append([])
            used = 0
        groups[-1].append(i)
        used += lengths[i]
    return groups


def different(texts: Sequence[TokenIdsLike]) -> tuple[list[TokenIdsLike], NDArray[np.intp]]:
    """Return the texts without duplicates, and for each text its index among them."""
    places: dict[object, int] = {}
    found: list[TokenIdsLike] = []
    inverse = np.empty(len(texts), dtype=np.intp)
    for number, text in enumerate(texts):
        types = text.token_type_ids
        key = (tuple(text.input_ids), None if types is None else tuple(types))
        inverse[number] = place = places.setdefault(key, len(found))
        if place == len(found):
            found.append(text)
    return found, inverse


def pack(texts: Sequence[TokenIdsLike], layout: Layout) -> TokenBatch[NDArray[Any]]:
    """Pack texts without padding; ``rows`` has each text's first token, ``pool_weights`` are for the mean.

    Raises `InputError` if a text has no tokens, or more than the model's maximum.
    """
    lengths = np.fromiter((len(text.input_ids) for text in texts), dtype=np.int32, count=len(texts))
    check_lengths(lengths, layout)
    total = int(lengths.sum())
    ids = np.fromiter(chain.from_iterable(text.input_ids for text in texts), dtype=np.int64, count=total)
    input_ids = _checked_ids("Token id", ids, layout.vocab_size)
    return pack_arrays(
        input_ids,
        _token_types(texts, lengths, layout),
        _positions(input_ids, lengths, layout),
        lengths,
        causal=layout.causal,
    )


def pack_arrays(
    input_ids: Array, token_type_ids: Array, position_ids: Array, lengths: Array, *, causal: bool = False
) -> TokenBatch[NDArray[Any]]:
    """Create the index arrays for texts whose tokens are already concatenated."""
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    columns = np.arange(lengths.max(), dtype=np.int32)
    is_token = columns < lengths[:, None]  # [B, L]
    seen = is_token[:, None, None, :]  # [B, 1, 1, L]
    if causal:
        seen = seen & (columns <= columns[:, None])  # [B, 1, L, L]: the causal mask
    return TokenBatch(
        input_ids=input_ids,
        position_ids=position_ids,
        token_type_ids=token_type_ids,
        pad_index=np.where(is_token, starts[:, None] + columns, 0).astype(np.int32),
        attention_bias=np.where(seen, np.float32(0), MASKED),
        unpad_index=np.flatnonzero(is_token).astype(np.int32),
        rows=starts,
        pool_weights=(is_token / lengths[:, None]).astype(np.float32)[:, None, :],
    )


def unpad(
    input_ids: NDArray[np.integer],
    attention_mask: NDArray[np.integer],
    token_type_ids: NDArray[np.integer],
    layout: Layout,
) -> TokenBatch[NDArray[Any]]:
    """Pack the padded arrays ``[B, L]`` of a tokenizer without the masked tokens.

    Positions are the same as in the padded arrays, so masked tokens in the middle leave a gap, as in the
    published implementations. Raises `InputError` if all tokens of a text are masked.
    """
    kept = attention_mask != 0
    lengths = kept.sum(axis=1, dtype=np.int32)
    check_lengths(lengths, layout)
    columns = np.broadcast_to(np.arange(input_ids.shape[1], dtype=np.int32), input_ids.shape)
    positions = columns
    if layout.position_offset:
        positions = _positions_from_padding(input_ids, layout)
    token_types = np.zeros(int(lengths.sum()), dtype=np.int32)
    if layout.type_vocab_size > 1:
        token_types = _checked_ids("Token type", token_type_ids[kept], layout.type_vocab_size)
    return pack_arrays(
        _checked_ids("Token id", input_ids[kept], layout.vocab_size),
        token_types,
        _checked_ids("Position", positions[kept], layout.max_length + layout.position_offset),
        lengths,
        causal=layout.causal,
    )


def check_lengths(lengths: Array, layout: Layout) -> None:
    """Raise `InputError` if there is no text, or, with its index, for an empty or too long text."""
    if not len(lengths):
        raise InputError("There is no text to run the model on.")
    if lengths.min() == 0:
        raise InputError(f"Text {int(lengths.argmin())} has no tokens, or none that the mask leaves.")
    if lengths.max() > layout.max_length:
        raise InputError(
            f"Text {int(lengths.argmax())} has {lengths.max()} tokens, the model takes {layout.max_length} "
            "at most; tokenize it with truncation=True."
        )


def _checked_ids(what: str, ids: NDArray[np.integer], limit: int) -> Array:
    if len(ids) and (ids.min() < 0 or ids.max() >= limit):
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise InputError(f"{what} {wrong} is outside the model's range of 0 to {limit - 1}.")
    return ids.astype(np.int32)


def _token_types(texts: Sequence[TokenIdsLike], lengths: Array, layout: Layout) -> Array:
    token_types = np.zeros(int(lengths.sum()), dtype=np.int32)
    if layout.type_vocab_size <= 1:  # as in RoBERTa: no separate type for a pair's second text
        return token_types
    start = 0
    for text, length in zip(texts, lengths, strict=True):
        if text.token_type_ids is not None:
            token_types[start : start + length] = text.token_type_ids
        start += length
    return _checked_ids("Token type", token_types, layout.type_vocab_size)


def _positions(input_ids: Array, lengths: Array, layout: Layout) -> Array:
    starts = np.cumsum(lengths) - lengths
    if not layout.position_offset:
        return (np.arange(len(input_ids)) - np.repeat(starts, lengths)).astype(np.int32)
    counted = input_ids != layout.pad_token_id  # a padding token inside a text has the padding position
    running = np.cumsum(counted)
    before = (running - counted)[starts]
    positions: Array = (running - np.repeat(before, lengths)) * counted + layout.pad_token_id
    return positions.astype(np.int32)


def _positions_from_padding(input_ids: NDArray[np.integer], layout: Layout) -> Array:
    counted = input_ids != layout.pad_token_id
    positions: Array = (np.cumsum(counted, axis=1) * counted + layout.pad_token_id).astype(np.int32)
    return positions
