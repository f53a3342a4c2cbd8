"""How good a cross-encoder is at saying which texts belong together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.data.examples import LabelledText
from munjang.errors import InputError
from munjang.evaluation.evaluation import Evaluation, check_finite, in_steps, require_examples
from munjang.evaluation.measures.counts import check_paired
from munjang.evaluation.measures.resampling import Values, Weights, estimates, mean_of, point
from munjang.progress import Advance
from munjang.sentence.cross_encoder import CrossEncoder

__all__ = ["TruePairs", "average_precision", "evaluate_true_pairs", "is_label"]

_THRESHOLD = 0.5


class TruePairs:
    """Which examples are true, and their scores; its methods are statistics.

    Raises `InputError` for sequences of unequal length, or empty ones.
    """

    def __init__(self, truth: Sequence[bool], scores: ArrayLike) -> None:
        values = np.asarray(scores, dtype=np.float64)
        check_paired("examples", truth, "scores", values)
        self._truth = np.asarray(truth, dtype=bool)
        self._is_right = (values > _THRESHOLD) == self._truth
        self._order = np.argsort(-values, kind="stable")
        ranked = values[self._order]
        self._ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of equal scores

    def accuracy(self, weights: Weights) -> Values:
        """Return the part of examples that are on the right side of 0.5."""
        return mean_of(self._is_right.astype(np.float64))(weights)

    def average_precision(self, weights: Weights) -> Values:
        """Return the mean precision at each true example, as scikit-learn's `average_precision_score` does.

        It is nan where nothing is true.
        """
        ordered = weights[:, self._order]
        seen = np.cumsum(ordered, axis=1)[:, self._ends]
        hits = np.cumsum(ordered * self._truth[self._order], axis=1)[:, self._ends]
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        gained: NDArray[np.float64] = np.diff(hits, axis=1, prepend=0)
        total = hits[:, -1]
        found = np.full(len(weights), np.nan)
        np.divide((gained * precision).sum(axis=1), total, out=found, where=total > 0)
        return found


def average_precision(truth: Sequence[bool], scores: ArrayLike) -> float:
    """Return the average precision of scores; nan if nothing is true. Raises as `TruePairs`."""
    return point(TruePairs(truth, scores).average_precision, len(truth))


def evaluate_true_pairs(
    model: CrossEncoder,
    examples: Sequence[LabelledText],
    *,
    positive: str = "1",
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure a cross-encoder of one label on pairs with two labels: ``average_precision`` and ``accuracy``.

    ``positive`` is the label of texts that belong together; a score above 0.5 says so. ``intervals=False``
    leaves the bootstrap out, ``advance`` is called with the number of pairs done. Raises `InputError` for
    data without pairs or without the label, a model of several labels, and scores that are no numbers.
    """
    require_examples(examples)
    if model.num_labels != 1:
        raise InputError(f"Pairs need a cross-encoder with one label, this one has {model.num_labels}.")
    truth = [is_label(one.label, positive) for one in examples]
    if not any(truth):
        raise InputError(f"None of the {len(examples)} examples has the label {positive!r}.")
    pairs = [_pair(one, place) for place, one in enumerate(examples)]
    scores = [float(score) for score in in_steps(model.predict, pairs, advance)]
    check_finite(scores)
    sides = TruePairs(truth, scores)
    statistics = {"average_precision": sides.average_precision, "accuracy": sides.accuracy}
    return Evaluation("pairs", "", len(pairs), estimates(statistics, len(pairs), intervals=intervals))


def is_label(label: str | float, name: str) -> bool:
    """Return whether a label has this name; numbers are the same however they are written."""
    if str(label) == name:
        return True
    try:
        return float(label) == float(name)
    except ValueError:
        return False


def _pair(one: LabelledText, place: int) -> tuple[str, str]:
    if one.text_pair is None:
        raise InputError(f"Example {place} has one text; a cross-encoder reads two.")
    return one.text, one.text_pair
