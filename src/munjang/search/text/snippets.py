"""Snippets: the part of a passage with most of the query's words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from munjang.search.text.analysis import Span

_LENGTH = 160  # characters
_LEAD = 24  # characters of context before the first mark
_MORE = "…"
_BLANK = re.compile(r"\s")


class Snippet(NamedTuple):
    """A part of a text, and the offsets ``(start, end)`` of the query's words in it."""

    text: str
    marks: list[tuple[int, int]]


def make_snippet(text: str, spans: Sequence[Span], wanted: Collection[str], length: int = _LENGTH) -> Snippet:
    """Return the part of about ``length`` characters with the most distinct wanted words, then most marks.

    It begins and ends between words, with an ellipsis where text is cut off, and its line ends are replaced
    by spaces. For a text without these words it is the beginning of the text.

    Args:
        text: a passage.
        spans: the words of the passage from an analyzer.
        wanted: the words of the query.
        length: in characters.
    """
    matches = sorted((start, end, word) for word, start, end in spans if word in wanted)
    start, end = _window(text, matches, length)
    marks = _merged([(begin, stop) for begin, stop, _ in matches if start <= begin and stop <= end])
    before, after = _MORE if start else "", _MORE if end < len(text) else ""
    shift = len(before) - start
    snippet = f"{before}{_BLANK.sub(' ', text[start:end])}{after}"
    return Snippet(snippet, [(begin + shift, stop + shift) for begin, stop in marks])


def _window(text: str, matches: list[tuple[int, int, str]], length: int) -> tuple[int, int]:
    if len(text) <= length:
        return 0, len(text)
    first = _best_mark(matches, length)
    start = 0 if first is None else max(0, matches[first][0] - _LEAD)
    start = _word_begin(text, min(start, len(text) - length), matches[first][0] if first is not None else 0)
    return start, _word_end(text, start, min(len(text), start + length))


def _best_mark(matches: list[tuple[int, int, str]], length: int) -> int | None:
    """Return the start mark of the window with most distinct words, then most marks; the first of ties.

    A sliding window, in a single pass.
    """
    best, worth = None, (0, 0)
    inside: Counter[str] = Counter()
    last = 0
    for first, (start, _, word) in enumerate(matches):
        limit = start + length - 2 * _LEAD
        while last < len(matches) and (last == first or matches[last][1] <= limit):
            inside[matches[last][2]] += 1
            last += 1
        if (len(inside), last - first) > worth:
            best, worth = first, (len(inside), last - first)
        inside[word] -= 1
        if not inside[word]:
            del inside[word]
    return best


def _word_begin(text: str, start: int, limit: int) -> int:
    """Return the start of the next word, unless it is beyond the limit."""
    if start <= 0:
        return 0
    if text[start - 1].isspace():
        return start
    blank = _BLANK.search(text, start, limit)
    return blank.end() if blank else start


def _word_end(text: str, start: int, end: int) -> int:
    """Return the end of the last whole word, unless there is only one word."""
    if end == len(text) or text[end].isspace():
        return end
    for offset in range(end, start + (end - start) // 2, -1):
        if text[offset - 1].isspace():
            return offset - 1
    return end


def _merged(marks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the marks with overlapping or adjacent marks merged, such as those of bigrams."""
    merged: list[tuple[int, int]] = []
    for start, end in marks:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
