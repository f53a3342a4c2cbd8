"""How well scores order a list of documents whose relevance is known, grades included."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray

from munjang.evaluation.measures.counts import check_paired
from munjang.evaluation.measures.resampling import Estimate, estimates, mean_of

__all__ = [
    "METRICS",
    "graded_ndcg",
    "mean_reciprocal_rank",
    "ndcg",
    "ranking_metrics",
    "recall",
    "reciprocal_rank",
]

METRICS = ("MRR@10", "nDCG@10", "Recall@1", "Recall@10")


def reciprocal_rank(found: Sequence[object], relevant: Collection[object], k: int = 10) -> float:
    """Return 1 / the rank of the first relevant one among the first ``k``, 0 if there is none."""
    return next((1 / rank for rank, one in enumerate(found[:k], start=1) if one in relevant), 0.0)


def ndcg(found: Sequence[object], relevant: Collection[object], k: int = 10) -> float:
    """Return the normalised discounted cumulative gain for relevance that is 0 or 1 (Jarvelin 2002)."""
    gain = sum(1 / math.log2(rank + 1) for rank, one in enumerate(found[:k], start=1) if one in relevant)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(relevant), k) + 1))
    return gain / best


def recall(found: Sequence[object], relevant: Collection[object], k: int) -> float:
    """Return whether a relevant one is among the first ``k``: success, where a query needs one answer."""
    return float(any(one in relevant for one in found[:k]))


def ranking_metrics(
    found: Sequence[Sequence[object]], relevant: Sequence[Collection[object]]
) -> Mapping[str, Estimate]:
    """Return every measure of `METRICS` for rankings, one per query, each with what is relevant to it.

    Recall@k is the part of the queries with something relevant among the first k. The intervals are those of
    `munjang.evaluation.measures.resampling.estimates`. Raises `InputError` if there are no queries.
    """
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

    Documents of relevance above 0 are relevant. Equal scores say nothing about the order: the mean over all
    orders of such documents is given. Raises `InputError` for sequences of unequal length, or empty ones.
    """
    check_paired("scores", scores, "grades of relevance", relevance)
    before = 0
    for grades in _ties(scores, relevance):
        size, relevant = len(grades), int(np.count_nonzero(grades > 0))
        if relevant:
            ways = comb(size, relevant)
            # The first relevant one comes after `late` others: the rest of them stand behind it.
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
    check_paired("scores", scores, "grades of relevance", relevance)
    discounts = np.zeros(len(scores))
    discounts[:k] = 1 / np.log2(np.arange(2, min(k, len(scores)) + 2))
    best = float(np.sort(np.asarray(relevance, dtype=np.float64))[::-1] @ discounts)
    gain, at = 0.0, 0
    for grades in _ties(scores, relevance):
        gain += float(grades.mean() * discounts[at : at + len(grades)].sum())
        at += len(grades)
    return gain / best if best > 0 else 0.0


def _ties(scores: Sequence[float], relevance: Sequence[float]) -> list[NDArray[np.float64]]:
    """Return the grades in the order of their scores, best first, those of equal scores together."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ordered = np.asarray(scores)[order]
    return np.split(np.asarray(relevance, dtype=np.float64)[order], np.flatnonzero(np.diff(ordered)) + 1)
