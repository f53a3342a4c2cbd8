"""How well scores order a list of documents whose relevance is known, grades included."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray

from munjang.evaluation.counts import check_paired

__all__ = ["graded_ndcg", "mean_reciprocal_rank"]


def mean_reciprocal_rank(scores: Sequence[float], relevance: Sequence[float], k: int = 10) -> float:
    """Give 1 / the rank of the first relevant document among the first ``k``; 0 if none is there.

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
    """Give the normalised discounted cumulative gain of the first ``k``; 0 if nothing is relevant.

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
    """Give the grades in the order of their scores, best first, those of equal scores together."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ordered = np.asarray(scores)[order]
    return np.split(np.asarray(relevance, dtype=np.float64)[order], np.flatnonzero(np.diff(ordered)) + 1)
