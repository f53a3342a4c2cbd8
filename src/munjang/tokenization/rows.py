"""Lays encodings out as the rows a model is fed, as lists or arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from munjang.errors import InputError, InputTypeError
from munjang.tokenization.encoding import BatchEncoding, Encoding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from munjang.tokenization.texts import TextOrPair

__all__ = ["as_arrays", "as_rows", "first_row", "pair_up"]


def pair_up(text: str | Sequence[TextOrPair], text_pair: str | Sequence[str] | None) -> Sequence[TextOrPair]:
    """Make one batch of the first and the second texts of a call.

    Raises:
        InputTypeError: they are neither texts nor lists, or one of each.
        InputError: two lists of unequal length.

    """
    if isinstance(text, str) and (text_pair is None or isinstance(text_pair, str)):
        return [text if text_pair is None else (text, text_pair)]
    if isinstance(text, (list, tuple)) and text_pair is None:
        return text
    if isinstance(text, (list, tuple)) and isinstance(text_pair, (list, tuple)):
        if len(text) == len(text_pair):
            return list(zip(text, text_pair, strict=True))
        raise InputError(
            f"{len(text)} texts cannot be paired with {len(text_pair)}; give lists of equal length."
        )
    kinds = " and ".join(type(value).__name__ for value in (text, text_pair) if value is not None)
    raise InputTypeError(
        f"Can't tokenise what has type {kinds or 'NoneType'}; give a str, a list of str, or two of either."
    )


def as_rows(encodings: list[Encoding], names: Sequence[str]) -> BatchEncoding:
    """Return a batch whose rows, by these names, are lists of lists."""
    return BatchEncoding(
        {name: [getattr(item, _FIELDS[name]) for item in encodings] for name in names}, encodings
    )


_FIELDS = {
    "input_ids": "input_ids",
    "token_type_ids": "token_type_ids",
    "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}


def as_arrays(batch: BatchEncoding) -> BatchEncoding:
    """Return the batch with int64 arrays ``[B, L]`` for lists (``offset_mapping``: ``[B, L, 2]``).

    Raises:
        InputError: the texts have different numbers of tokens.

    """
    import numpy as np

    lengths = sorted({len(encoding) for encoding in batch.encodings})
    if len(lengths) > 1:
        raise InputError(
            f"Texts of {lengths[0]} to {lengths[-1]} tokens do not fit one array; use padding=True."
        )
    shape = (len(batch.encodings), lengths[0] if lengths else 0)
    arrays: dict[str, Any] = {}
    for name, rows in batch.items():
        last = (2,) if name == "offset_mapping" else ()
        arrays[name] = np.array(rows, dtype=np.int64).reshape(*shape, *last)
    return BatchEncoding(arrays, batch.encodings)


def first_row(batch: BatchEncoding) -> BatchEncoding:
    """Return the rows of a single text, as plain lists."""
    return BatchEncoding({name: rows[0] for name, rows in batch.items()}, batch.encodings)
