"""How sure a chatbot is of an answer, as a probability: learned from questions that are held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "calibrate"]

_ENOUGH = 20  # held-out questions of each kind, fewer say nothing
# Held out among stored questions of the same kind, a question is harder to refuse than what people ask.
_FALSE_ANSWERS = 0.25
# With nothing to learn from: the lead at which an answer is as likely right as wrong, and how fast that
# changes with the lead; about what multilingual-e5-small needs.
_PRIOR_LEAD, _PRIOR_SLOPE = 0.05, 50.0
_STEPS = 50  # of Newton's method; it needs about ten
_RIDGE = 1.0  # of the slope, in standard deviations: keeps it finite where the two kinds do not overlap


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How a lead becomes a probability, a threshold, and how often it was wrong on held-out questions.

    Attributes:
        threshold: the least probability that an answer is right at which it is a good answer.
        answerable: held-out questions whose answer another stored question has.
        unanswerable: held-out questions whose answer was taken away.
        refused: the part of the answerable that fell below the threshold; NaN if there were none.
        wrongly_answered: the part of the unanswerable that reached it; NaN if there were none.
        middle: the lead at which both kinds are equally likely.
        slope: how fast the log-odds grow with the lead, above zero.
    """

    threshold: float
    answerable: int
    unanswerable: int
    refused: float
    wrongly_answered: float
    middle: float = _PRIOR_LEAD
    slope: float = _PRIOR_SLOPE

    def probability(self, lead: float) -> float:
        """Return how likely an answer is right whose stored question leads by so much, from 0 to 1.

        Questions that have a stored answer, and those that have none, count as equally frequent.
        """
        return _logistic(self.slope * (lead - self.middle))


def calibrate(answerable: Sequence[float], unanswerable: Sequence[float]) -> Calibration:
    """Learn the probability and a threshold from the leads of held-out questions.

    With enough of both kinds the probability is a logistic regression on the lead, each kind with half of the
    weight, and the threshold is where answers are right most often (Youden's J statistic, Youden 1950). With
    unanswerable ones alone, one in four of them reaches the threshold, a probability of one half there; the
    answerable ones are taken to be spread as widely. With neither, the model is taken to be like
    multilingual-e5-small.
    """
    positive, negative = np.sort(np.array(answerable, float)), np.sort(np.array(unanswerable, float))
    middle, slope = _PRIOR_LEAD, _PRIOR_SLOPE
    least = middle
    if len(negative) >= 2:
        if len(positive) < _ENOUGH or len(negative) < _ENOUGH:
            middle = least = float(np.quantile(negative, 1 - _FALSE_ANSWERS))
            slope = _slope_between(float(negative.mean()), middle, float(negative.std()))
        else:
            middle, slope = _regression(positive, negative)
            least = _best(positive, negative)
    return Calibration(
        threshold=_logistic(slope * (least - middle)),
        answerable=len(positive),
        unanswerable=len(negative),
        refused=_part(positive < least),
        wrongly_answered=_part(negative >= least),
        middle=middle,
        slope=slope,
    )


def _logistic(logit: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * logit))


def _slope_between(mean: float, middle: float, spread: float) -> float:
    """Return the slope for two normal distributions of one spread, equally far from the middle."""
    least = max(abs(middle), 1.0) * 1e-6
    return 2 * max(middle - mean, least) / max(spread, least) ** 2


def _regression(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> tuple[float, float]:
    """Fit ``P(positive | lead)``, both kinds equally likely: the lead at one half, and the slope."""
    leads = np.concatenate([positive, negative])
    center, spread = float(leads.mean()), float(leads.std()) or 1.0
    features = np.stack([np.ones(len(leads)), (leads - center) / spread], axis=1)
    truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    weights = np.concatenate([np.full(len(one), 0.5 * len(leads) / len(one)) for one in (positive, negative)])
    ridge = np.diag([0.0, _RIDGE])
    solution = np.zeros(2)
    for _ in range(_STEPS):
        predicted = 0.5 * (1 + np.tanh(0.5 * (features @ solution)))
        gradient = features.T @ (weights * (predicted - truth)) + ridge @ solution
        curvature = (features * (weights * predicted * (1 - predicted))[:, None]).T @ features + ridge
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        solution = solution - step / max(1.0, float(np.abs(step).max()))
    # A lead that says nothing, or the opposite, makes every answer about as likely as not.
    slope = max(float(solution[1]), 1e-3)
    return center - float(solution[0]) / slope * spread, slope / spread


def _best(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Try the middle between each two neighbouring values."""
    values = np.unique(np.concatenate([positive, negative]))
    places = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])
    answered = 1 - np.searchsorted(positive, places) / len(positive)
    wrong = 1 - np.searchsorted(negative, places) / len(negative)
    return float(places[int(np.argmax(answered - wrong))])


def _part(chosen: NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if len(chosen) else float("nan")
