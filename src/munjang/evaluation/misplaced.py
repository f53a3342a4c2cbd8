"""A part of a text that should begin at a place, and what to say if it does not."""

from __future__ import annotations

import unicodedata

from munjang.evaluation.entries import Entry

__all__ = ["check_place"]

_LONGEST_SHOWN = 60
_MOST_PLACES = 3


def check_place(entry: Entry, what: str, part: str, start: int, text: str) -> None:
    """Raise `DataFileError` unless ``part`` stands in ``text`` from the character ``start`` on.

    The message says what stands there instead, and where the part does stand, if anywhere.
    """
    if text.startswith(part, start):
        return
    there = text[start : start + len(part)]
    stands = f"{_shown(there)} stands there" if there else f"the text has {len(text)} characters"
    raise entry.error(
        f"{what} {_shown(part)} should begin at character {start}, but {stands}; {_elsewhere(part, text)}."
    )


def _elsewhere(part: str, text: str) -> str:
    places: list[int] = []
    at = text.find(part)
    while at >= 0 and len(places) < _MOST_PLACES:
        places.append(at)
        at = text.find(part, at + 1)
    if places:
        return f"it stands at {', '.join(map(str, places))}" + (" and elsewhere" if at >= 0 else "")
    if unicodedata.normalize("NFC", part) in unicodedata.normalize("NFC", text):
        return "it is there only in another normal form of Unicode (NFC or NFD)"
    return "it is nowhere in the text"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")
