"""Korean morphemes, with `kiwipiepy` (extra ``ko``): 서울에서 has 서울, and 맛있었어요 has 맛있다.

It is loaded when the first Korean text comes, which takes a second or two, and once per process.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any

from munjang.search.scanning import fold, has_hangul, runs
from munjang.tokenization.korean import OffsetMap, compose, nfc

__all__ = ["KiwiMorphemes"]

# Nouns, pronouns, numerals, predicates, adverbs, adnominals, interjections, roots, and the unknown. Left out
# are particles, endings and affixes, which say how a word is used and not what it means.
_CONTENT = ("NN", "NP", "NR", "VV", "VA", "VX", "VCN", "MM", "MA", "IC", "XR", "UN")
_PREDICATE = "V"
# The time that kiwi takes grows faster than the text, so that it gets it in pieces, cut between words.
_PIECE = re.compile(r"\S(?:.{0,254}\S)?(?!\S)|\S{1,64}", re.DOTALL)
# kiwi counts UTF-16 units and fails on half a surrogate pair; none of these is a part of a Korean word.
_BEYOND = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")
_STAND_IN = "\u25a1"
_SHORT = 256  # characters that need no cutting
_BATCH = 4096  # pieces that are in memory at once

Piece = tuple[int, str]  # where it begins in its text, and itself
Span = tuple[str, int, int]


class KiwiMorphemes:
    """The words of Korean that carry meaning, predicates as their dictionary form; other scripts as words.

    A compound that kiwi's dictionary knows to consist of several words gives those.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def words(self, text: str) -> list[str]:
        """Give the words in order, repetitions included."""
        return self.words_batch([text])[0]

    def words_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Give the words of many texts, on all cores."""
        return [[word for word, _, _ in spans] for spans in self._spans([nfc(text) for text in texts])]

    def spans(self, text: str) -> list[Span]:
        """Give the words with their places in the text, in code points."""
        composed, back = compose(text)
        (found,) = self._spans([composed])
        return found if back is None else _mapped(found, back)

    def _spans(self, texts: Sequence[str]) -> Iterator[list[Span]]:
        """Analyse texts in NFC."""
        analysed = _analysed(piece for text in texts for _, piece in _pieces(text))
        for text in texts:
            spans = _other_words(text)
            for start, _ in _pieces(text):
                spans += _content(text, next(analysed), start)
            yield sorted(spans, key=lambda span: span[1])


def _mapped(spans: list[Span], back: OffsetMap) -> list[Span]:
    return [(word, *back.span(start, end)) for word, start, end in spans]


def _other_words(text: str) -> list[Span]:
    """Give the words that are not Hangul."""
    return [
        (word, start, end)
        for hangul, start, end in runs(text)
        if not hangul
        for word in fold(text[start:end])
    ]


def _pieces(text: str) -> Iterator[Piece]:
    """Cut a text; pieces without Hangul are left out."""
    if len(text) <= _SHORT:
        if has_hangul(text):
            yield 0, text
        return
    for found in _PIECE.finditer(text):
        if has_hangul(found[0]):
            yield found.start(), found[0]


def _analysed(pieces: Iterator[str]) -> Iterator[list[Any]]:
    while batch := [_BEYOND.sub(_STAND_IN, piece) for piece in islice(pieces, _BATCH)]:
        kiwi = _kiwi()
        # Threads cost more than they give for a few pieces.
        yield from kiwi.tokenize(batch) if len(batch) > 1 else [kiwi.tokenize(batch[0])]


def _content(text: str, tokens: list[Any], offset: int) -> Iterator[Span]:
    for token in tokens:
        start = offset + token.start
        # A stem and its ending may share a syllable, and the start of a word is always its own.
        end = start + max(token.len, 1)
        if token.tag.startswith(_CONTENT) and has_hangul(text[start:end]):
            form = token.lemma if token.tag.startswith(_PREDICATE) else token.form
            for word in nfc(form).split():
                yield word, start, end


_loading = threading.Lock()


def _kiwi() -> Any:
    with _loading:  # two threads would load it twice
        return _loaded()


@cache
def _loaded() -> Any:
    from kiwipiepy import Kiwi

    return Kiwi()
