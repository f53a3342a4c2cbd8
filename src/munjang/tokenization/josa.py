"""Particles (josa) at the end of a Korean answer: 서울에서 -> 서울.

Only particles of a closed list, only after Hangul, and only where the syllable before them agrees: many have
two forms, one after a final consonant (batchim) and one after a vowel (은 and 는). One particle is taken off,
or two where a second belongs before it (에서 and 는 in 서울에서는); at least one syllable is left.

No dictionary is used, so a noun whose last syllable looks like a particle loses it: 제주도 becomes 제주
and 회의 becomes 회. Particles that are equally often the end of a noun (나, 랑) are not in the list. Verbs
and the copula (이다, 입니다) are not changed, nor is 로 before another particle (학교로는 becomes 학교로),
because of nouns such as 도로. Therefore trimming is optional.
"""

from __future__ import annotations

from munjang.tokenization.korean import compose

_FIRST, _LAST = ord("가"), ord("힣")
_FINALS = 28  # final consonants of a syllable block, none included
_RIEUL = 8  # ㄹ among them

_AFTER_BATCHIM = ("은", "이", "을", "과", "으로", "으로서", "으로써")
_AFTER_VOWEL = ("는", "가", "를", "와")
_AFTER_VOWEL_OR_RIEUL = ("로", "로서", "로써")
_ANYWHERE = (
    "에", "에서", "에게", "에게서", "께", "께서", "한테", "한테서",
    "의", "도", "만", "까지", "부터", "보다", "처럼", "마다", "조차", "마저", "밖에",
)  # fmt: skip
# These can also follow another particle, which must be one of the second row.
_LAST_OF_TWO = ("은", "는", "도", "만", "의", "까지", "부터")
_FIRST_OF_TWO = (
    "에", "에서", "에게", "에게서", "께", "께서", "한테", "한테서", "까지", "부터", "으로", "처럼", "보다",
)  # fmt: skip

_EVERY = sorted({*_AFTER_BATCHIM, *_AFTER_VOWEL, *_AFTER_VOWEL_OR_RIEUL, *_ANYWHERE}, key=len, reverse=True)


def has_batchim(syllable: str) -> bool:
    """Return whether a Hangul syllable ends in a consonant (Unicode Standard, section 3.12)."""
    return _final(syllable) != 0


def length_without_josa(text: str) -> int:
    """Return the length of a text without the particle at its end; its whole length if there is none.

    The length counts the characters as they are written, also if Hangul is spelled in jamo (NFD).
    """
    composed, back = compose(text)
    kept = _trimmed(composed)
    return len(text) if kept == len(composed) else kept if back is None else back.span(0, kept)[1]


def _trimmed(text: str) -> int:
    last = next((josa for josa in _EVERY if _fits(text, josa)), None)
    if last is None:
        return len(text)
    kept = text[: len(text) - len(last)]
    if last in _LAST_OF_TWO:
        before = next(
            (josa for josa in sorted(_FIRST_OF_TWO, key=len, reverse=True) if _fits(kept, josa)), ""
        )
        kept = kept[: len(kept) - len(before)]
    return len(kept)


def _fits(text: str, josa: str) -> bool:
    """Return whether a text ends in a particle that its last syllable before it agrees with."""
    if not text.endswith(josa) or len(text) == len(josa):
        return False
    before = text[-len(josa) - 1]
    if not _FIRST <= ord(before) <= _LAST:
        return False
    if josa in _AFTER_BATCHIM:
        # After ㄹ it is 로, not 으로.
        return has_batchim(before) and not (josa.startswith("으로") and _final(before) == _RIEUL)
    if josa in _AFTER_VOWEL:
        return not has_batchim(before)
    # No noun ends in 으; before 로 it is part of 으로, which did not match.
    return josa in _ANYWHERE or (_final(before) in (0, _RIEUL) and before != "으")


def _final(syllable: str) -> int:
    return (ord(syllable) - _FIRST) % _FINALS
