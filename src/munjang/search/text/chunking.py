"""`Chunker`: splits long texts at sentences into passages that fit into a model's maximum length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from munjang.tokenization import Tokenizer

# A possible end of a sentence, with the closing quotes and brackets after it. A run of dots is tried only
# once, from its first dot, so that the time is linear in the text's length; `_ENCLOSED` below is linear as
# well, also for unclosed brackets.
_END = re.compile(
    r"""
    (?: (?<![.!?…])(?P<dots>[.!?…]++) [)\]"'”’»」』】〉》]*+ (?=\s)  # in most scripts a space follows
      | (?<=[다요까죠네라자오])[.!?]++ (?=[가-힣])             # in careless Korean none does
      | [。！？｡]+ [)\]"'”’」』】）〉》]*                        # nor in Chinese and Japanese
      | \n+ )
    """,
    re.VERBOSE,
)
# Quoted or bracketed text, inside which no sentence ends, unless it is too long.
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
_INDENT = 100  # maximum characters examined before a label


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each sentence, without the white space around it, in code points.

    Together they cover every character that is not white space. A line break ends a sentence.
    """
    start = 0
    for end in [*_ends(text), len(text)]:
        first = after_blanks(text, start)
        last = first + len(text[first:end].rstrip())
        if last > first:
            yield first, last
        start = max(start, end)


def after_blanks(text: str, start: int) -> int:
    """Return the end offset of the white space that begins at an offset."""
    match = _BLANK.match(text, start)
    return match.end() if match else start


def _ends(text: str) -> Iterator[int]:
    enclosed = _ENCLOSED.finditer(text)
    inside = next(enclosed, None)
    for match in _END.finditer(text):
        while inside is not None and inside.end() <= match.start():
            inside = next(enclosed, None)
        hidden = inside is not None and inside.start() < match.start() and match.end() < inside.end()
        if not hidden and not _goes_on(text, match):
            yield match.end()


def _goes_on(text: str, match: re.Match[str]) -> bool:
    """Return whether a sentence continues after the full stop of an abbreviation, a number or initials."""
    if match["dots"] is None:
        return False
    after = after_blanks(text, match.end())
    following = text[after : after + 1]
    if following.islower():
        return True
    if match["dots"] != ".":
        return False
    before = _LAST_WORD.search(text[max(0, match.start() - 13) : match.start()])
    word = before[0] if before else ""
    if _NUMBER.fullmatch(word) and not following.isupper():  # "2023. 5. 1. 기준", not "It was 3. Then"
        return True
    if _LABEL.fullmatch(word) and _begins_line(text, match.start() - len(word)):  # "1. Introduction"
        return True
    return any(kind.fullmatch(word) for kind in (_INITIALS, _ABBREVIATIONS))


def _begins_line(text: str, offset: int) -> bool:
    return not text[max(0, offset - _INDENT) : offset].rpartition("\n")[2].strip()


Place = tuple[int, int]

# Joined sentences can have slightly more tokens than the sum of their tokens; then a smaller budget is tried.
_BUDGETS = (1.0, 0.94, 0.88, 0.75)
# White space, marks and unknown words have few tokens or none, whatever their length. Normal text has 2 to 6
# characters per token.
_CHARACTERS = 16  # maximum characters of a passage per token


class _Unit(NamedTuple):
    """A sentence, or a part of a too long sentence; it is not split further."""

    start: int
    end: int
    tokens: int


class Chunker:
    """Splits texts into passages of at most ``tokens`` tokens of a model's tokenizer, without special tokens.

    A passage has at most ``16 * tokens`` characters, whatever its content.
    A passage consists of whole sentences, and begins with the last sentences of the previous passage, up to
    ``overlap`` tokens. A too long sentence is split between words, a too long word between characters. Every
    character that is not white space is in a passage.
    """

    def __init__(self, tokenizer: Tokenizer, *, tokens: int, overlap: int) -> None:
        self._tokenizer = tokenizer
        self._special = tokenizer.num_special_tokens_to_add()
        self._tokens = tokens
        self._overlap = overlap
        self._characters = _CHARACTERS * tokens

    def cut(self, texts: Sequence[str]) -> list[list[Place]]:
        """Return the offsets of each text's passages, in code points; none for a text of white space.

        Raises `InputError` for a text with a lone surrogate.
        """
        whole = [_stripped(text) for text in texts]
        long = {i for i, text in enumerate(texts) if len(text) > self._characters}
        unsure = [
            i
            for i, text in enumerate(texts)
            if i not in long and len(text.encode(errors="replace")) > self._tokens - 2
        ]
        counts = self._count([texts[i] for i in unsure])
        long |= {i for i, count in zip(unsure, counts, strict=True) if count > self._tokens}
        return [self._passages(text) if i in long else whole[i] for i, text in enumerate(texts)]

    def _count(self, texts: Sequence[str]) -> list[int]:
        ids = self._tokenizer.encode_ids(texts, truncation=False)
        return [len(text.input_ids) - self._special for text in ids]

    def _passages(self, text: str) -> list[Place]:
        units = self._units(text)
        passages: list[Place] = []
        for share in _BUDGETS:
            budget = max(1, int(self._tokens * share))
            passages = _joined(units, budget, self._overlap, self._characters)
            counts = self._count([text[start:end] for start, end in passages])
            if max(counts, default=0) <= self._tokens:
                break
        return passages

    def _units(self, text: str) -> list[_Unit]:
        parts = [part for start, end in sentences(text) for part in self._stretches(text, start, end)]
        counts = self._count([text[start:end] for start, end in parts])
        units: list[_Unit] = []
        for (start, end), count in zip(parts, counts, strict=True):
            if count <= self._tokens:
                units.append(_Unit(start, end, count))
            else:
                units += self._parts(text, start, end)
        return units

    def _stretches(self, text: str, start: int, end: int) -> Iterator[Place]:
        """Yield the parts of a sentence with too many characters, before tokenization, to save memory."""
        while end - start > self._characters:
            cut = _cut(text, start, start + self._characters)
            yield start, start + len(text[start:cut].rstrip())
            start = after_blanks(text, cut)
        if start < end:
            yield start, end

    def _parts(self, text: str, start: int, end: int) -> list[_Unit]:
        """Return the parts of a too long sentence."""
        sentence = text[start:end]
        (encoding,) = self._tokenizer.encode_batch([sentence], add_special_tokens=False)
        begins = [begin for begin, _ in encoding.offsets]
        parts: list[_Unit] = []
        done = token = 0
        while done < len(sentence):
            last = token + self._tokens
            cut = len(sentence) if last >= len(begins) else _cut(sentence, done, begins[last])
            after = next((i for i in range(token, len(begins)) if begins[i] >= cut), len(begins))
            last = done + len(sentence[done:cut].rstrip())
            parts.append(_Unit(start + done, start + last, after - token))
            done, token = after_blanks(sentence, cut), after
        return parts


def _cut(text: str, start: int, limit: int) -> int:
    """Return the last word boundary up to a limit, or else the limit."""
    if limit <= start:
        return start + 1  # a single character has more tokens than a passage may have
    for offset in range(limit, start, -1):
        if text[offset - 1].isspace() or (offset < len(text) and text[offset].isspace()):
            return offset
    return limit


def _stripped(text: str) -> list[Place]:
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    return [(start, end)] if end > start else []


def _joined(units: Sequence[_Unit], budget: int, overlap: int, characters: int) -> list[Place]:
    """Join units to passages greedily; each but the first begins with the overlap of the previous passage."""
    ends = [0, *accumulate(unit.tokens for unit in units)]  # tokens before each unit
    passages: list[Place] = []
    first = done = 0
    while done < len(units):
        last = done + 1
        most = units[first].start + characters
        while last < len(units) and ends[last + 1] - ends[first] <= budget and units[last].end <= most:
            last += 1
        passages.append((units[first].start, units[last - 1].end))
        done = first = last
        if done < len(units):
            free = min(overlap, budget - units[done].tokens)
            least = max(units[done].end - characters, units[done].start - characters * overlap // budget)
            while first > 0 and ends[done] - ends[first - 1] <= free and units[first - 1].start >= least:
                first -= 1
    return passages
