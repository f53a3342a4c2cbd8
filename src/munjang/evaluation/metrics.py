"""Measures of rankings, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from munjang.evaluation.resampling import Estimate, estimates, mean_of

__all__ = ["METRICS", "ndcg", "ranking_metrics", "recall", "reciprocal_rank"]

METRICS = ("MRR@10", "nDCG@10", "Recall@1", "Recall@10")


def reciprocal_rank(found: Sequence[object], relevant: Collection[object], k: int = 10) -> float:
    """Give 1 / the rank of the first relevant one among the first ``k``, 0 if there is none."""
    return next((1 / rank for rank, one in enumerate(found[:k], start=1) if one in relevant), 0.0)


def ndcg(found: Sequence[object], relevant: Collection[object], k: int = 10) -> float:
    """Give the normalised discounted cumulative gain for relevance that is 0 or 1 (Jarvelin 2002)."""
    gain = sum(1 / math.log2(rank + 1) for rank, one in enumerate(found[:k], start=1) if one in relevant)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(relevant), k) + 1))
    return gain / best


def recall(found: Sequence[object], relevant: Collection[object], k: int) -> float:
    """Say whether a relevant one is among the first ``k``: success, where a query needs one answer."""
    return float(any(one in relevant for one in found[:k]))


def ranking_metrics(
    found: Sequence[Sequence[object]], relevant: Sequence[Collection[object]]
) -> Mapping[str, Estimate]:
    """Give every measure of `METRICS` for rankings, one per query, each with what is relevant to it.

    Recall@k is the part of the queries with something relevant among the first k. The intervals are those of
    `munjang.evaluation.resampling.estimates`. Raises `InputError` if there are no queries.
    """
    rows = {
        "MRR@10": [reciprocal_rank(f, r) for f, r in zip(found, relevant, strict=True)],
        "nDCG@10": [ndcg(f, r) for f, r in zip(found, relevant, strict=True)],
        "Recall@1": [recall(f, r, 1) for f, r in zip(found, relevant, strict=True)],
        "Recall@10": [recall(f, r, 10) for f, r in zip(found, relevant, strict=True)],
    }
    means = {name: mean_of(np.array(values, dtype=np.float64)) for name, values in rows.items()}
    return estimates(means, len(found))
