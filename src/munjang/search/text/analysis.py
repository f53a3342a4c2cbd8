"""Analyzers: split texts into normalized words for lexical search, such as lemmas of inflected Korean."""

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

_LONGEST = 64  # maximum characters of a word; full-text tables have limits too
_HANGUL = "가-힣"
_SYLLABLE = re.compile(f"[{_HANGUL}]")


def has_hangul(text: str) -> bool:
    """Return whether a text has a Hangul syllable."""
    return _SYLLABLE.search(text) is not None


def runs(text: str) -> Iterator[tuple[bool, int, int]]:
    """Yield the runs of an NFC text: whether the run is Hangul, its start and its end."""
    for match in _pattern().finditer(text):
        yield match[1] is not None, *match.span()


def normalized_words(word: str) -> list[str]:
    """Return the normalized form of a word: NFKC with case folding.

    Mostly a single word; a ligature that stands for several words yields all of them. Words are truncated to
    64 characters.
    """
    if word.isascii():
        return [word[:_LONGEST].lower()]
    plain = _nfkc(_nfkc(word[: _LONGEST * 2]).casefold())
    return [match[0][:_LONGEST] for match in _pattern().finditer(plain)]


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


@cache
def _pattern() -> re.Pattern[str]:
    r"""Return a pattern for a run; Python's ``\w`` lacks the marks that scripts such as Devanagari need."""
    letter = f"[^\\W_{_HANGUL}]"
    return re.compile(f"([{_HANGUL}]+)|{letter}(?:{letter}|[{_marks()}])*")


def _marks() -> str:
    """Return all combining marks as ranges of a character class, from Python's Unicode data."""
    codes = (code for code in range(0x300, sys.maxunicode) if unicodedata.category(chr(code))[0] == "M")
    grouped = groupby(enumerate(codes), key=lambda pair: pair[1] - pair[0])
    ranges = ([code for _, code in group] for _, group in grouped)
    return "".join(f"{re.escape(chr(some[0]))}-{re.escape(chr(some[-1]))}" for some in ranges)


# Tag prefixes of nouns, pronouns, numerals, predicates, adverbs, adnominals, interjections, roots and unknown
# words. Particles, endings and affixes are left out: they have a grammatical function and no meaning.
_CONTENT = ("NN", "NP", "NR", "VV", "VA", "VX", "VCN", "MM", "MA", "IC", "XR", "UN")
_PREDICATE = "V"
# The time of kiwi grows faster than linearly with the text's length, so texts are split between words.
_PIECE = re.compile(r"\S(?:.{0,254}\S)?(?!\S)|\S{1,64}", re.DOTALL)
# kiwi counts UTF-16 code units and fails on lone surrogates; these characters do not occur in Korean words.
_BEYOND = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")
_STAND_IN = "\u25a1"
_SHORT = 256  # maximum characters of a text that is not split
_BATCH = 4096  # pieces in memory at a time

Piece = tuple[int, str]  # the start offset in the text, and the piece
Span = tuple[str, int, int]


class KiwiMorphemes:
    """Analyzer with kiwi: Korean content words, predicates in dictionary form; other scripts as words.

    A compound is split if kiwi's dictionary has its parts.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def words(self, text: str) -> list[str]:
        """Return the words in order, with repetitions."""
        return self.words_batch([text])[0]

    def words_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of many texts, on all cores."""
        return [[word for word, _, _ in spans] for spans in self._spans([nfc(text) for text in texts])]

    def spans(self, text: str) -> list[Span]:
        """Return the words with their offsets in the text, in code points."""
        composed, back = compose(text)
        (spans,) = self._spans([composed])
        return spans if back is None else _mapped(spans, back)

    def _spans(self, texts: Sequence[str]) -> Iterator[list[Span]]:
        """Yield the words of NFC texts with their offsets."""
        analysed = _analysed(piece for text in texts for _, piece in _pieces(text))
        for text in texts:
            spans = _other_words(text)
            for start, _ in _pieces(text):
                spans += _content(text, next(analysed), start)
            yield sorted(spans, key=lambda span: span[1])


def _mapped(spans: list[Span], back: OffsetMap) -> list[Span]:
    return [(word, *back.span(start, end)) for word, start, end in spans]


def _other_words(text: str) -> list[Span]:
    """Return the words that are not Hangul, with their offsets."""
    return [
        (word, start, end)
        for hangul, start, end in runs(text)
        if not hangul
        for word in normalized_words(text[start:end])
    ]


def _pieces(text: str) -> Iterator[Piece]:
    """Yield the pieces of a split text; pieces without Hangul are left out."""
    if len(text) <= _SHORT:
        if has_hangul(text):
            yield 0, text
        return
    for match in _PIECE.finditer(text):
        if has_hangul(match[0]):
            yield match.start(), match[0]


def _analysed(pieces: Iterator[str]) -> Iterator[list[Any]]:
    while batch := [_BEYOND.sub(_STAND_IN, piece) for piece in islice(pieces, _BATCH)]:
        kiwi = _kiwi()
        # For a single piece the batch call's thread overhead is larger than its gain.
        yield from kiwi.tokenize(batch) if len(batch) > 1 else [kiwi.tokenize(batch[0])]


def _content(text: str, tokens: list[Any], offset: int) -> Iterator[Span]:
    for token in tokens:
        start = offset + token.start
        # A stem and its ending may share a syllable, so the end is computed from the token's length.
        end = start + max(token.len, 1)
        if token.tag.startswith(_CONTENT) and has_hangul(text[start:end]):
            form = token.lemma if token.tag.startswith(_PREDICATE) else token.form
            for word in nfc(form).split():
                yield word, start, end


_loading = threading.Lock()


def _kiwi() -> Any:
    with _loading:  # a lock, so that two threads do not load it twice
        return _loaded()


@cache
def _loaded() -> Any:
    from kiwipiepy import Kiwi

    return Kiwi()


_BIGRAMS = "hangul-bigrams"
_KIWI = "kiwi"
_FORMAT = "1"  # version of the words' format; indexes of another version are incompatible


class Analyzer(Protocol):
    """Splits texts into words for lexical search. It accepts any text without errors."""

    @property
    def name(self) -> str:
        """Name and version, as stored in an index; equal names produce equal words."""
        ...

    def words(self, text: str) -> list[str]:
        """Return the words in order, with repetitions."""
        ...

    def words_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of many texts, on all cores where that is faster."""
        ...

    def spans(self, text: str) -> list[Span]:
        """Return the words with their offsets in the text, in code points."""
        ...


class HangulBigrams:
    """Analyzer with Hangul bigrams: overlapping pairs of syllables, so 서울 matches 서울에서; else words.

    It needs no dictionary. It can't match 맛있다 with 맛있었어요, nor a single syllable inside a longer word.
    """

    name = f"{_BIGRAMS}/{_FORMAT}"

    def words(self, text: str) -> list[str]:
        """Return the words in order, with repetitions."""
        return [word for word, _, _ in _bigram_spans(nfc(text))]

    def words_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of many texts."""
        return [self.words(text) for text in texts]

    def spans(self, text: str) -> list[Span]:
        """Return the words with their offsets in the text, in code points."""
        composed, back = compose(text)
        spans = _bigram_spans(composed)
        if back is None:
            return list(spans)
        return [(word, *back.span(start, end)) for word, start, end in spans]


def _bigram_spans(text: str) -> Iterator[Span]:
    for hangul, start, end in runs(text):
        if not hangul:
            for word in normalized_words(text[start:end]):
                yield word, start, end
        elif end - start == 1:
            yield text[start:end], start, end
        else:
            for offset in range(start, end - 1):
                yield text[offset : offset + 2], offset, offset + 2


def analyzer_named(name: str | None = None) -> Analyzer:
    """Return an analyzer: ``"kiwi"``, ``"hangul-bigrams"``, or the full name recorded in an index.

    ``None`` is kiwi if the extra ``ko`` is installed, else bigrams. Raises `InputError` for an unknown
    name, `MissingExtraError` for kiwi without its package, `IndexMismatchError` for another kiwi version.
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
            "version, or analyze the documents again with `munjang index migrate`."
        )
