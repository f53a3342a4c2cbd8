"""Questions that can't stand alone, such as "그럼 비용은?" and "And when?"."""

from __future__ import annotations

import re

from munjang.tokenization import nfc

__all__ = ["has_hangul", "joined", "needs_context", "points_back"]

_FEW_WORDS = 6  # a longer question says itself what it is about, however it begins
_SHORT_WORD = 6  # letters of a question of one word

_KOREAN_OPENING = re.compile("그럼|그러면|그래서|그리고|그런데|근데|그건|그거|그게|그때|거기|거긴|이건|이거")
_ENGLISH_OPENING = re.compile(r"(and|but|so|then|also|what about|how about|what if|that|it)\b", re.IGNORECASE)
_HANGUL = re.compile("[가-힣ㄱ-ㅎㅏ-ㅣᄀ-ᇿ]")


def needs_context(question: str) -> bool:
    """Return whether an earlier question may be needed to understand one: it points back, or is one word."""
    words = nfc(question).split()
    return len(words) <= _FEW_WORDS and (
        points_back(question) or (len(words) == 1 and len(words[0]) <= _SHORT_WORD)
    )


def points_back(question: str) -> bool:
    """Return whether a question begins with a word that points to what was said before."""
    composed = nfc(question)
    opening = _KOREAN_OPENING if has_hangul(composed) else _ENGLISH_OPENING
    return opening.match(composed) is not None


def joined(earlier: str, question: str) -> str:
    """Put an earlier question before one."""
    return f"{earlier} {question}"


def has_hangul(text: str) -> bool:
    """Return whether there is Hangul in a text."""
    return _HANGUL.search(text) is not None
