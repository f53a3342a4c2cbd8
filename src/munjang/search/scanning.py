"""Where the words of a text are: runs of Hangul syllables, and runs of other letters, digits and marks."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby

__all__ = ["fold", "has_hangul", "runs"]

_LONGEST = 64  # characters of a word; nobody types more, and full-text tables have limits of their own
_HANGUL = "가-힣"
_SYLLABLE = re.compile(f"[{_HANGUL}]")


def has_hangul(text: str) -> bool:
    """Say whether a text has a Hangul syllable."""
    return _SYLLABLE.search(text) is not None


def runs(text: str) -> Iterator[tuple[bool, int, int]]:
    """Give the runs of a text in NFC: whether it is Hangul, where it begins and ends."""
    for found in _pattern().finditer(text):
        yield found[1] is not None, *found.span()


def fold(word: str) -> list[str]:
    """Bring a word to the form in which words are compared: NFKC without case.

    That is mostly one word; a ligature that stands for several gives them all. Words end after 64
    characters.
    """
    if word.isascii():
        return [word[:_LONGEST].lower()]
    plain = _nfkc(_nfkc(word[: _LONGEST * 2]).casefold())
    return [found[0][:_LONGEST] for found in _pattern().finditer(plain)]


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


@cache
def _pattern() -> re.Pattern[str]:
    r"""Match a run; Python's own ``\w`` leaves out the marks that scripts such as Devanagari need."""
    letter = f"[^\\W_{_HANGUL}]"
    return re.compile(f"([{_HANGUL}]+)|{letter}(?:{letter}|[{_marks()}])*")


def _marks() -> str:
    """List all combining marks as ranges of a character class; read once from Python's own tables."""
    codes = (code for code in range(0x300, sys.maxunicode) if unicodedata.category(chr(code))[0] == "M")
    grouped = groupby(enumerate(codes), key=lambda pair: pair[1] - pair[0])
    ranges = ([code for _, code in group] for _, group in grouped)
    return "".join(f"{re.escape(chr(some[0]))}-{re.escape(chr(some[-1]))}" for some in ranges)
