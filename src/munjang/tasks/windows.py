"""Overlapping windows over a text that is longer than the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from munjang.errors import InputError
from munjang.tokenization.encoding import Encoding


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text that fits the model, with all special tokens.

    ``encoding`` is the model's input, ``positions`` are its tokens' indices in the whole encoding, and the
    window contains the text's own tokens from ``start`` to ``end``.
    """

    encoding: Encoding
    positions: list[int]
    start: int
    end: int


def windows(encoding: Encoding, max_length: int) -> list[Window]:
    """Split an encoding that was not truncated into windows of at most ``max_length`` tokens.

    Each window starts half a window after the previous one, and the last ends with the text. Of a pair, the
    first text is split and every window has the whole second text. Raises `InputError` if the second text and
    the special tokens leave too little room.
    """
    first_text = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 0]
    others = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence != 0]
    if len(encoding) <= max_length:
        return [Window(encoding, list(range(len(encoding))), 0, len(first_text))]
    room = max_length - len(others)
    if room < 2:
        raise InputError(
            f"The pair is too long: its second text and the special tokens take {len(others)} of the "
            f"{max_length} tokens that the model takes, which leaves no room for the first; shorten the "
            "second text."
        )
    parts = []
    for start in _starts(len(first_text), room):
        positions = sorted([*others, *first_text[start : start + room]])
        parts.append(Window(encoding.select(positions), positions, start, start + room))
    return parts


def context_of(window: Window, length: int) -> Iterator[int]:
    """Yield for each of a window's own tokens the number of tokens between it and the nearest cut.

    ``length`` is the number of the whole text's own tokens; its two ends are not cuts.
    """
    for at in range(window.start, window.end):
        before = at - window.start if window.start else length
        after = window.end - 1 - at if window.end < length else length
        yield min(before, after)


def _starts(length: int, room: int) -> list[int]:
    last = length - room
    return [*range(0, last, room - room // 2), last]
