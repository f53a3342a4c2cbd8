"""Measures of answers, as in the official programs of KorQuAD 1.0 and SQuAD.

Both normalise an answer and compute two scores: 1 or 0 for equality (exact match), and the F1 of the common
parts. KorQuAD (arXiv:1909.07005) compares characters, because Korean particles are attached to words;
SQuAD (arXiv:1606.05250) compares words and skips English articles.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import get_args

from munjang.choices import Normalization
from munjang.errors import InputError

_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation))
_KOREAN_MARKS = str.maketrans(dict.fromkeys("'\"《》<>〈〉()‘’", " "))  # replaced by spaces
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalized(answer: str, normalization: Normalization = "korquad") -> str:
    """Return an answer in the form in which it is compared.

    Lower case, no ASCII punctuation, single spaces. KorQuAD replaces quotes, brackets and title marks such as
    《》 by spaces, SQuAD removes the articles. Hangul is composed (NFC) first, so that both forms of a text
    are equal. Raises `InputError` for an unknown normalization.
    """
    check_normalization(normalization)
    text = unicodedata.normalize("NFC", answer)
    if normalization == "korquad":
        text = text.translate(_KOREAN_MARKS).lower().translate(_PUNCTUATION)
    else:
        text = _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION))
    return " ".join(text.split())


def exact_match(predicted: str, answers: Sequence[str], *, normalization: Normalization = "korquad") -> float:
    """Return 1 if a prediction is equal to a right answer, else 0.

    The right answer of a question without answers is an empty text. Raises as `normalized`.
    """
    prediction = normalized(predicted, normalization)
    return float(any(prediction == normalized(answer, normalization) for answer in answers or ("",)))


def answer_f1(predicted: str, answers: Sequence[str], *, normalization: Normalization = "korquad") -> float:
    """Return the best F1 of a prediction with any of the right answers, from 0 to 1.

    It is the F1 of characters without spaces for KorQuAD, and of words for SQuAD. If a text is empty after
    normalisation, it is 1 if both are, else 0, as in SQuAD 2.0 (arXiv:1806.03822). Raises as `normalized`.
    """
    prediction = _units(predicted, normalization)
    return max(_f1(prediction, _units(answer, normalization)) for answer in answers or ("",))


def check_normalization(normalization: str) -> None:
    """Raise `InputError` for an unknown normalization."""
    if normalization not in get_args(Normalization):
        known = ", ".join(get_args(Normalization))
        raise InputError(f"Unknown normalization {normalization!r}; there are {known}.")


def _units(text: str, normalization: Normalization) -> list[str]:
    words = normalized(text, normalization).split()
    return words if normalization == "squad" else list("".join(words))


def _f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    common = (Counter(predicted) & Counter(gold)).total()
    return 2 * common / (len(predicted) + len(gold))
