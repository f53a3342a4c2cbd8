"""Where the sentences of a text are, Korean and English, by rules that need no dictionary."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["after_blanks", "sentences"]

# What can end a sentence, with the quotes and brackets that close after it. A run of dots is tried once, from
# its first one, so that the time is linear in the length of any text; so it is where nothing closes below.
_END = re.compile(
    r"""
    (?: (?<![.!?…])(?P<dots>[.!?…]++) [)\]"'”’»」』】〉》]*+ (?=\s)  # in most scripts a space follows
      | (?<=[다요까죠네라자오])[.!?]++ (?=[가-힣])             # in careless Korean none does
      | [。！？｡]+ [)\]"'”’」』】）〉》]*                        # nor in Chinese and Japanese
      | \n+ )
    """,
    re.VERBOSE,
)
# Nothing ends inside these, unless they are too long to be what they seem.
_ENCLOSED = re.compile(
    r'“[^“”\n]{0,400}+”|"[^"\n]{0,400}+"|「[^「」\n]{0,400}+」|『[^『』\n]{0,400}+』|\([^()\n]{0,200}+\)'
)
_ABBREVIATIONS = re.compile(
    r"(?i:mrs?|ms|dr|prof|[sj]r|st|nos?|vs|etc|al|e\.g|i\.e|cf|figs?|eq|sec|ch|vol|eds?|pp?|approx|dept|est|inc|ltd"
    r"|co|corp|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mt|gen|col|capt|lt|sgt|rev|hon)"
)
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘]{1,12}\Z")
_INITIALS = re.compile(r"(?:[A-Za-z]\.)*[A-Z]")
_NUMBER = re.compile(r"\d{1,4}")
_LABEL = re.compile(r"\d{1,4}|[IVXivx]{1,4}|[a-z가나다라마바사아자차카타파하]")
_BLANK = re.compile(r"\s*")
_INDENT = 100  # characters before a label that are looked at


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Give the place of each sentence, without the white space around it, in code points.

    Together they cover every character that is not white space. A line is a sentence of its own.
    """
    start = 0
    for end in [*_ends(text), len(text)]:
        first = after_blanks(text, start)
        last = first + len(text[first:end].rstrip())
        if last > first:
            yield first, last
        start = max(start, end)


def after_blanks(text: str, start: int) -> int:
    """Return where the white space that begins at a place ends."""
    found = _BLANK.match(text, start)
    return found.end() if found else start


def _ends(text: str) -> Iterator[int]:
    enclosed = _ENCLOSED.finditer(text)
    inside = next(enclosed, None)
    for found in _END.finditer(text):
        while inside is not None and inside.end() <= found.start():
            inside = next(enclosed, None)
        hidden = inside is not None and inside.start() < found.start() and found.end() < inside.end()
        if not hidden and not _goes_on(text, found):
            yield found.end()


def _goes_on(text: str, found: re.Match[str]) -> bool:
    """Say whether the sentence goes on after a full stop: it ends an abbreviation, a number or initials."""
    if found["dots"] is None:
        return False
    after = after_blanks(text, found.end())
    following = text[after : after + 1]
    if following.islower():
        return True
    if found["dots"] != ".":
        return False
    before = _LAST_WORD.search(text[max(0, found.start() - 13) : found.start()])
    word = before[0] if before else ""
    if _NUMBER.fullmatch(word) and not following.isupper():  # "2023. 5. 1. 기준", not "It was 3. Then"
        return True
    if _LABEL.fullmatch(word) and _begins_line(text, found.start() - len(word)):  # "1. Introduction"
        return True
    return any(kind.fullmatch(word) for kind in (_INITIALS, _ABBREVIATIONS))


def _begins_line(text: str, place: int) -> bool:
    return not text[max(0, place - _INDENT) : place].rpartition("\n")[2].strip()
