"""Calibration: a chatbot's confidence in an answer as a probability, learned from held-out questions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ENOUGH = 20  # minimum number of held-out questions of each kind
# A held-out question is similar in kind to the stored questions, so harder to refuse than user questions.
_FALSE_ANSWERS = 0.25
# Defaults without held-out questions: the lead at which an answer is right with probability 1/2, and the
# slope of the log-odds; approximate values for multilingual-e5-small.
_PRIOR_LEAD, _PRIOR_SLOPE = 0.05, 50.0
_STEPS = 50  # maximum steps of Newton's method; it needs about ten
_RIDGE = 1.0  # ridge penalty of the slope, in standard deviations: keeps it finite for separable data


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A map from lead to probability, a threshold, and the error rates on held-out questions.

    Attributes:
        threshold: the minimum probability at which an answer is accepted.
        answerable: number of held-out questions whose answer another stored question has.
        unanswerable: number of held-out questions whose answer was removed.
        refused: share of the answerable questions below the threshold; NaN without such questions.
        wrongly_answered: share of the unanswerable questions that reach it; NaN without such questions.
        middle: the lead at which both kinds are equally likely.
        slope: slope of the log-odds by the lead, positive.
    """

    threshold: float
    answerable: int
    unanswerable: int
    refused: float
    wrongly_answered: float
    middle: float = _PRIOR_LEAD
    slope: float = _PRIOR_SLOPE

    def probability(self, lead: float) -> float:
        """Return the probability, from 0 to 1, that an answer is right, given its stored question's lead.

        Questions with and without a stored answer are assumed to be equally frequent.
        """
        return _logistic(self.slope * (lead - self.middle))


def calibrate(answerable: Sequence[float], unanswerable: Sequence[float]) -> Calibration:
    """Return a calibration fitted to the leads of held-out questions.

    With enough questions of both kinds the probability is a logistic regression on the lead, each kind with
    half of the weight, and the threshold maximizes Youden's J statistic (Youden 1950). With unanswerable
    questions only, the threshold is the lead that 1/4 of them reach, with probability 1/2; the answerable
    questions are assumed to have the same spread. With neither, the defaults for multilingual-e5-small are
    used.
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
            least = _best_threshold(positive, negative)
    return Calibration(
        threshold=_logistic(slope * (least - middle)),
        answerable=len(positive),
        unanswerable=len(negative),
        refused=_share(positive < least),
        wrongly_answered=_share(negative >= least),
        middle=middle,
        slope=slope,
    )


def _logistic(logit: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * logit))


def _slope_between(mean: float, middle: float, spread: float) -> float:
    """Return the slope for two normal distributions with equal spread and equal distance from the middle."""
    least = max(abs(middle), 1.0) * 1e-6
    return 2 * max(middle - mean, least) / max(spread, least) ** 2


def _regression(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> tuple[float, float]:
    """Fit ``P(positive | lead)``, both kinds equally likely: the lead at one half, and the slope."""
    leads = np.concatenate([positive, negative])
    center, spread = float(leads.mean()), float(leads.std()) or 1.0
    features = np.stack([np.ones(len(leads)), (leads - center) / spread], axis=1)
    truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    counts = (len(positive), len(negative))
    weights = np.concatenate([np.full(count, 0.5 * len(leads) / count) for count in counts])
    ridge = np.diag([0.0, _RIDGE])
    solution = np.zeros(2)
    for _ in range(_STEPS):
        predicted = 0.5 * (1 + np.tanh(0.5 * (features @ solution)))
        gradient = features.T @ (weights * (predicted - truth)) + ridge @ solution
        curvature = (features * (weights * predicted * (1 - predicted))[:, None]).T @ features + ridge
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        solution = solution - step / max(1.0, float(np.abs(step).max()))
    # For an uninformative or inverted lead the slope is tiny, and every probability is about 1/2.
    slope = max(float(solution[1]), 1e-3)
    return center - float(solution[0]) / slope * spread, slope / spread


def _best_threshold(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Return the best threshold among the midpoints between neighbouring values."""
    values = np.unique(np.concatenate([positive, negative]))
    thresholds = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2])
    answered = 1 - np.searchsorted(positive, thresholds) / len(positive)
    wrong = 1 - np.searchsorted(negative, thresholds) / len(negative)
    return float(thresholds[int(np.argmax(answered - wrong))])


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if len(mask) else float("nan")
