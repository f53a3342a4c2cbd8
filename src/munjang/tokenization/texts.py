"""Checks of the caller's texts, and their conversion to NFC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from munjang.errors import InputError, InputTypeError
from munjang.tokenization.korean import OffsetMap, compose, is_nfc, nfc

__all__ = [
    "TextOrPair",
    "as_batch",
    "as_text",
    "composed",
    "composed_with_maps",
    "raise_for_surrogate",
    "text_parts",
]

TextOrPair = str | tuple[str, str]
"""One text, or a pair of texts that a model reads together (a list of two strings counts as a pair too)."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def as_batch(texts: Iterable[TextOrPair]) -> Sequence[TextOrPair]:
    """Return the texts as a sequence; a single string is refused, as it would be a sequence of letters."""
    if isinstance(texts, (list, tuple)):
        return texts
    if isinstance(texts, (str, bytes, Mapping)) or not isinstance(texts, Iterable):
        raise InputTypeError(
            "A batch is a list of texts or of pairs of texts, not a value of type "
            f"{type(texts).__name__}; put a single text into a list."
        )
    return list(texts)


def as_text(text: object) -> str:
    """Return the value if it is a single text; else raise InputTypeError."""
    if not isinstance(text, str):
        raise InputTypeError(f"A single text is a str, not a value of type {type(text).__name__}.")
    return text


def text_parts(text: object, index: int) -> tuple[str, ...]:
    """Return the one or two strings of a text or pair; ``index`` is its index in the batch, for the message.

    Raises:
        InputTypeError: it is, or contains, a value other than a string.
        InputError: it is a tuple or list but not of two texts.

    """
    if isinstance(text, str):
        return (text,)
    if not isinstance(text, (tuple, list)):
        raise InputTypeError(f"Text {index} has type {type(text).__name__}; give a str or a pair of str.")
    if len(text) != 2:
        raise InputError(f"Text {index} is a {type(text).__name__} of {len(text)}; a pair has two texts.")
    for part in text:
        if not isinstance(part, str):
            raise InputTypeError(f"A text of pair {index} has type {type(part).__name__}; give two str.")
    return tuple(text)


def composed(texts: Sequence[TextOrPair]) -> Sequence[TextOrPair]:
    """Return every text in NFC; return the same object if it contains only strings in NFC.

    Raises:
        InputTypeError, InputError: as `text_parts`.

    """
    if _all_composed(texts):
        return texts
    return [_rejoined(tuple(map(nfc, text_parts(text, index)))) for index, text in enumerate(texts)]


def composed_with_maps(
    texts: Sequence[TextOrPair],
) -> tuple[Sequence[TextOrPair], dict[int, tuple[OffsetMap | None, ...]]]:
    """Return the result of `composed` and the offset maps of the changed texts by index in the batch."""
    if _all_composed(texts):
        return texts, {}
    inputs: list[TextOrPair] = []
    maps: dict[int, tuple[OffsetMap | None, ...]] = {}
    for index, text in enumerate(texts):
        parts, back = zip(*map(compose, text_parts(text, index)), strict=True)
        inputs.append(_rejoined(parts))
        if any(offsets is not None for offsets in back):
            maps[index] = back
    return inputs, maps


def raise_for_surrogate(texts: Sequence[TextOrPair]) -> NoReturn:
    """Raise InputError for the first lone surrogate, which is not a valid character."""
    for index, text in enumerate(texts):
        for place, part in enumerate(text_parts(text, index)):
            if found := _SURROGATE.search(part):
                where = f"Text {index}" if isinstance(text, str) else f"Text {place} of pair {index}"
                raise InputError(
                    f"{where} has a lone surrogate, U+{ord(found[0]):04X}, at position {found.start()}, "
                    "which is no character; read the text with its right encoding or with errors='replace'."
                )
    raise InputError("The tokeniser refused these texts.")


def _all_composed(texts: Sequence[TextOrPair]) -> bool:
    try:
        return all(map(is_nfc, texts))
    except TypeError:  # a pair or an error; the caller then checks each text
        return False


def _rejoined(parts: tuple[str, ...]) -> TextOrPair:
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])
