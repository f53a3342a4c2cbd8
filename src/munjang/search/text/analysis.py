"""Words of a text, as they are searched for: what an inflected Korean text and a query have in common."""

from __future__ import annotations

import re
import sys
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby, islice
from typing import Any, Protocol

from munjang.errors import IndexMismatchError, InputError, InputTypeError, MissingExtraError
from munjang.tokenization.korean import OffsetMap, compose, nfc

__all__ = [
    "Analyzer",
    "HangulBigrams",
    "KiwiMorphemes",
    "Span",
    "analyzer_named",
    "fold",
    "has_hangul",
    "runs",
]

_LONGEST = 64  # characters of a word; nobody types more, and full-text tables have limits of their own
_HANGUL = "가-힣"
_SYLLABLE = re.compile(f"[{_HANGUL}]")


def has_hangul(text: str) -> bool:
    """Return whether a text has a Hangul syllable."""
    return _SYLLABLE.search(text) is not None


def runs(text: str) -> Iterator[tuple[bool, int, int]]:
    """Yield the runs of a text in NFC: whether it is Hangul, where it begins and ends."""
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
        """Return the words in order, repetitions included."""
        return self.words_batch([text])[0]

    def words_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of many texts, on all cores."""
        return [[word for word, _, _ in spans] for spans in self._spans([nfc(text) for text in texts])]

    def spans(self, text: str) -> list[Span]:
        """Return the words with their places in the text, in code points."""
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
    """Return the words that are not Hangul."""
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


_BIGRAMS = "hangul-bigrams"
_KIWI = "kiwi"
_FORMAT = "1"  # of the words; another one makes other indexes


class Analyzer(Protocol):
    """Makes words of texts, for search by word. It never fails, whatever the text."""

    @property
    def name(self) -> str:
        """Name and version, as they are stored with an index; the same name gives the same words."""
        ...

    def words(self, text: str) -> list[str]:
        """Return the words in order, repetitions included."""
        ...

    def words_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of many texts, on all cores where that is faster."""
        ...

    def spans(self, text: str) -> list[Span]:
        """Return the words with their places in the text, in code points."""
        ...


class HangulBigrams:
    """Hangul as overlapping pairs of syllables, so that 서울 is in 서울에서; other scripts as words.

    It needs no dictionary. What it can't do is to find 맛있다 in 맛있었어요, and a single syllable inside a
    longer word.
    """

    name = f"{_BIGRAMS}/{_FORMAT}"

    def words(self, text: str) -> list[str]:
        """Return the words in order, repetitions included."""
        return [word for word, _, _ in _bigram_spans(nfc(text))]

    def words_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of many texts."""
        return [self.words(text) for text in texts]

    def spans(self, text: str) -> list[Span]:
        """Return the words with their places in the text, in code points."""
        composed, back = compose(text)
        found = _bigram_spans(composed)
        if back is None:
            return list(found)
        return [(word, *back.span(start, end)) for word, start, end in found]


def _bigram_spans(text: str) -> Iterator[Span]:
    for hangul, start, end in runs(text):
        if not hangul:
            for word in fold(text[start:end]):
                yield word, start, end
        elif end - start == 1:
            yield text[start:end], start, end
        else:
            for place in range(start, end - 1):
                yield text[place : place + 2], place, place + 2


def analyzer_named(name: str | None = None) -> Analyzer:
    """Open an analyser: ``"kiwi"``, ``"hangul-bigrams"``, or the full name that an index was made with.

    ``None`` is kiwi if the extra ``ko`` is installed, else bigrams. Raises `InputError` for an unknown
    name, `MissingExtraError` for kiwi without its package, `IndexMismatchError` for another version of it.
    """
    installed = _kiwi_version()
    if name is None:
        name = _BIGRAMS if installed is None else _KIWI
    if not isinstance(name, str):
        raise InputTypeError(f"analyzer must be {_KIWI} or {_BIGRAMS}, got {name!r:.80}.")
    kind, _, rest = name.partition("/")
    if kind not in (_BIGRAMS, _KIWI):
        raise InputError(f"There is no analyser '{name}'; there are {_KIWI} and {_BIGRAMS}.")
    if kind == _BIGRAMS:
        _check_version(name, HangulBigrams.name, rest)
        return HangulBigrams()
    if installed is None:
        raise MissingExtraError.of(
            f"The analyser '{name}' needs the package kiwipiepy, which is not installed", "ko"
        )
    full = f"{_KIWI}/{installed}/{_FORMAT}"
    _check_version(name, full, rest)
    return _kiwi_analyzer(full)


@cache
def _kiwi_analyzer(name: str) -> Analyzer:
    return KiwiMorphemes(name)


@cache
def _kiwi_version() -> str | None:
    try:
        return version("kiwipiepy")
    except PackageNotFoundError:
        return None


def _check_version(name: str, installed: str, rest: str) -> None:
    if rest and name != installed:
        raise IndexMismatchError(
            f"The index was made with the analyser '{name}', but '{installed}' is installed; install that "
            "version, or make the words anew with `munjang index migrate`."
        )
