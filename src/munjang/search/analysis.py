"""Words of a text, as they are searched for: what an inflected Korean text and a query have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from munjang.errors import IndexMismatchError, InputError, InputTypeError, MissingExtraError
from munjang.search.scanning import fold, runs
from munjang.tokenization.korean import compose, nfc

__all__ = ["Analyzer", "HangulBigrams", "Span", "analyzer_named"]

Span = tuple[str, int, int]

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
        """Give the words in order, repetitions included."""
        ...

    def words_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Give the words of many texts, on all cores where that is faster."""
        ...

    def spans(self, text: str) -> list[Span]:
        """Give the words with their places in the text, in code points."""
        ...


class HangulBigrams:
    """Hangul as overlapping pairs of syllables, so that 서울 is in 서울에서; other scripts as words.

    It needs no dictionary. What it can't do is to find 맛있다 in 맛있었어요, and a single syllable inside a
    longer word.
    """

    name = f"{_BIGRAMS}/{_FORMAT}"

    def words(self, text: str) -> list[str]:
        """Give the words in order, repetitions included."""
        return [word for word, _, _ in _bigram_spans(nfc(text))]

    def words_batch(self, texts: Sequence[str]) -> list[list[str]]:
        """Give the words of many texts."""
        return [self.words(text) for text in texts]

    def spans(self, text: str) -> list[Span]:
        """Give the words with their places in the text, in code points."""
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
    return _kiwi(full)


@cache
def _kiwi(name: str) -> Analyzer:
    from munjang.search.morphemes import KiwiMorphemes

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
