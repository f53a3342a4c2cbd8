"""Where the morphemes of Korean words begin, with `kiwipiepy` (extra ``ko``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from munjang.errors import MissingExtraError

__all__ = ["morpheme_starts"]

# kiwi's time grows faster than the text, so that a long line goes in pieces, cut between words.
_PIECE = re.compile(r"\S(?:.{0,254}\S)?(?!\S)|\S{1,64}", re.DOTALL)
# kiwi counts UTF-16 units; none of these is a part of a Korean word.
_BEYOND = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")
_STAND_IN = "\u25a1"


def morpheme_starts(texts: Sequence[str]) -> Iterator[set[int]]:
    """Give for each text (in NFC) the positions at which a morpheme begins.

    A stem and an ending that share a syllable, as in 봤, begin at the same position: nothing is cut inside a
    syllable. Raises `MissingExtraError` without kiwipiepy.
    """
    pieces = [[(found.start(), found[0]) for found in _PIECE.finditer(text)] for text in texts]
    plain = [_BEYOND.sub(_STAND_IN, piece) for several in pieces for _, piece in several]
    analysed = iter(_kiwi().tokenize(plain))
    for several in pieces:
        yield {offset + token.start for offset, _ in several for token in next(analysed)}


@cache
def _kiwi() -> Any:
    try:
        from kiwipiepy import Kiwi
    except ImportError:
        raise MissingExtraError.of(
            "Splitting words into morphemes needs the package kiwipiepy, which is not installed", "ko"
        ) from None
    return Kiwi()
