"""Measures of rankings: of documents with binary or graded relevance, and of true and false pairs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.errors import InputError
from munjang.evaluation.measures.counts import check_paired
from munjang.evaluation.measures.resampling import Estimate, Values, Weights, estimates, mean_of, point
from munjang.validation import checked_count

_THRESHOLD = 0.5
METRICS = ("MRR@10", "nDCG@10", "Recall@1", "Recall@10")


def reciprocal_rank(ranking: Sequence[object], relevant: Collection[object], k: int = 10) -> float:
    """Return 1 / the rank of the first relevant item among the first ``k``, or 0 without one."""
    return next((1 / rank for rank, item in enumerate(ranking[:k], start=1) if item in relevant), 0.0)


def ndcg(ranking: Sequence[object], relevant: Collection[object], k: int = 10) -> float:
    """Return the normalised discounted cumulative gain for relevance that is 0 or 1 (Jarvelin 2002).

    It is 0 without relevant items.
    """
    gain = sum(1 / math.log2(rank + 1) for rank, item in enumerate(ranking[:k], start=1) if item in relevant)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(relevant), k) + 1))
    return gain / best if best else 0.0


def recall(ranking: Sequence[object], relevant: Collection[object], k: int) -> float:
    """Return 1 if a relevant item is among the first ``k``, else 0: success, if a query needs one answer."""
    return float(any(item in relevant for item in ranking[:k]))


def ranking_metrics(
    found: Sequence[Sequence[object]], relevant: Sequence[Collection[object]]
) -> Mapping[str, Estimate]:
    """Return every measure of `METRICS` for the rankings of queries, and the relevant items of each query.

    Recall@k is the share of the queries with a relevant item among the first k. The intervals are those of
    `munjang.evaluation.measures.resampling.estimates`. Raises `InputError` if there are no queries, if
    the lengths differ, or if a ranking has an item twice.
    """
    check_paired("rankings", found, "sets of relevant items", relevant)
    for query, ranking in enumerate(found):
        if len(set(ranking)) < len(ranking):
            raise InputError(f"The ranking of query {query} has an item twice; each item has one rank.")
    relevant = [frozenset(items) for items in relevant]
    rows = {
        "MRR@10": [reciprocal_rank(f, r) for f, r in zip(found, relevant, strict=True)],
        "nDCG@10": [ndcg(f, r) for f, r in zip(found, relevant, strict=True)],
        "Recall@1": [recall(f, r, 1) for f, r in zip(found, relevant, strict=True)],
        "Recall@10": [recall(f, r, 10) for f, r in zip(found, relevant, strict=True)],
    }
    means = {name: mean_of(np.array(values, dtype=np.float64)) for name, values in rows.items()}
    return estimates(means, len(found))


def mean_reciprocal_rank(scores: Sequence[float], relevance: Sequence[float], k: int = 10) -> float:
    """Return 1 / the rank of the first relevant document among the first ``k``; 0 if none is there.

    Documents of relevance above 0 are relevant. For documents of equal scores, the result is the mean over
    all their orders. Raises `InputError` for sequences of unequal length or empty ones, scores and grades
    that are not finite, negative grades, and ``k`` below 1.
    """
    _check_ranked(scores, relevance, k)
    before = 0
    for grades in _ties(scores, relevance):
        size, relevant = len(grades), int(np.count_nonzero(grades > 0))
        if relevant:
            ways = comb(size, relevant)
            # The first relevant document comes after `late` others; the other relevant ones come later.
            return sum(
                comb(size - 1 - late, relevant - 1) / ways / (before + late + 1)
                for late in range(size - relevant + 1)
                if before + late < k
            )
        before += size
    return 0.0


def graded_ndcg(scores: Sequence[float], relevance: Sequence[float], k: int = 10) -> float:
    """Return the normalised discounted cumulative gain of the first ``k``; 0 if nothing is relevant.

    The gain is the grade itself, divided by the logarithm of the rank (Jarvelin 2002), as in scikit-learn's
    `ndcg_score`; equal scores share their ranks' discounts. Raises as `mean_reciprocal_rank`.
    """
    _check_ranked(scores, relevance, k)
    discounts = np.zeros(len(scores))
    discounts[:k] = 1 / np.log2(np.arange(2, min(k, len(scores)) + 2))
    best = float(np.sort(np.asarray(relevance, dtype=np.float64))[::-1] @ discounts)
    gain, start = 0.0, 0
    for grades in _ties(scores, relevance):
        gain += float(grades.mean() * discounts[start : start + len(grades)].sum())
        start += len(grades)
    return gain / best if best > 0 else 0.0


class TruePairs:
    """The truth of examples, and their scores; its methods are statistics.

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
        """Return the share of examples whose score is on the right side of 0.5."""
        return mean_of(self._is_right.astype(np.float64))(weights)

    def average_precision(self, weights: Weights) -> Values:
        """Return the mean precision at each true example, as scikit-learn's `average_precision_score` does.

        It is NaN in a sample without true examples.
        """
        ordered = weights[:, self._order]
        seen = np.cumsum(ordered, axis=1)[:, self._ends]
        hits = np.cumsum(ordered * self._truth[self._order], axis=1)[:, self._ends]
        precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
        gained: NDArray[np.float64] = np.diff(hits, axis=1, prepend=0)
        total = hits[:, -1]
        means = np.full(len(weights), np.nan)
        np.divide((gained * precision).sum(axis=1), total, out=means, where=total > 0)
        return means


def average_precision(truth: Sequence[bool], scores: ArrayLike) -> float:
    """Return the average precision of scores; NaN without true examples. Raises as `TruePairs`."""
    return point(TruePairs(truth, scores).average_precision, len(truth))


def _check_ranked(scores: Sequence[float], relevance: Sequence[float], k: int) -> None:
    checked_count("k", k)
    check_paired("scores", scores, "grades of relevance", relevance)
    for index, (score, grade) in enumerate(zip(scores, relevance, strict=True)):
        if not (math.isfinite(score) and math.isfinite(grade) and grade >= 0):
            raise InputError(
                f"Document {index} has the score {score} and the relevance {grade}; both must be finite, and "
                "the relevance 0 or more."
            )


def _ties(scores: Sequence[float], relevance: Sequence[float]) -> list[NDArray[np.float64]]:
    """Return the grades in the order of their scores, best first, grouped by equal scores."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ordered = np.asarray(scores)[order]
    return np.split(np.asarray(relevance, dtype=np.float64)[order], np.flatnonzero(np.diff(ordered)) + 1)
