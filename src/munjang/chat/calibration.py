"""How sure a chatbot must be to answer: found out on questions that are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "calibrate"]

_ENOUGH = 20  # held-out questions of each kind, fewer say nothing
# Held out among stored questions of the same kind, a question is harder to refuse than what people ask.
_FALSE_ANSWERS = 0.25
_FALLBACK = 0.05  # with nothing to learn from; about what multilingual-e5-small needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A threshold, and how often it was wrong on held-out questions.

    Attributes:
        threshold: the least confidence that is good for an answer.
        answerable: held-out questions whose answer another stored question has.
        unanswerable: held-out questions whose answer was taken away.
        refused: the part of the answerable that fell below the threshold; NaN if there were none.
        wrongly_answered: the part of the unanswerable that reached it; NaN if there were none.
    """

    threshold: float
    answerable: int
    unanswerable: int
    refused: float
    wrongly_answered: float


def calibrate(answerable: Sequence[float], unanswerable: Sequence[float]) -> Calibration:
    """Choose a threshold from the confidence about held-out questions.

    With enough of both kinds it is the one that is right most often when both kinds are equally likely
    (Youden's J statistic, Youden 1950). Without answerable ones, it is the one that one in four of the
    unanswerable reaches.
    """
    positive, negative = np.sort(np.array(answerable, float)), np.sort(np.array(unanswerable, float))
    if len(negative) < 2:
        threshold = _FALLBACK
    elif len(positive) < _ENOUGH or len(negative) < _ENOUGH:
        threshold = float(np.quantile(negative, 1 - _FALSE_ANSWERS))
    else:
        threshold = _best(positive, negative)
    return Calibration(
        threshold=threshold,
        answerable=len(positive),
        unanswerable=len(negative),
        refused=_part(positive < threshold),
        wrongly_answered=_part(negative >= threshold),
    )


def _best(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Try the middle between each two neighbouring values."""
    values = np.unique(np.concatenate([positive, negative]))
    places = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])
    answered = 1 - np.searchsorted(positive, places) / len(positive)
    wrong = 1 - np.searchsorted(negative, places) / len(negative)
    return float(places[int(np.argmax(answered - wrong))])


def _part(chosen: NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if len(chosen) else float("nan")
