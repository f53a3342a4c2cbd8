"""Rankings made into one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

__all__ = ["K", "reciprocal_rank_fusion"]

Item = TypeVar("Item", bound=Hashable)

K = 60  # the paper's; the larger, the less the first places count


def reciprocal_rank_fusion(
    rankings: Mapping[str, Sequence[Item]], weights: Mapping[str, float], *, k: int = K
) -> list[tuple[Item, float]]:
    """Join rankings, best first: an item's score is the sum of ``weight / (k + rank)`` over the rankings.

    Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009. Ranks count from 1. Of equal scores the better best rank goes first, then the
    ranking that is named first.
    """
    scores: dict[Item, float] = {}
    best: dict[Item, tuple[int, int]] = {}
    for order, (name, items) in enumerate(rankings.items()):
        weight = weights.get(name, 1.0)
        for rank, item in enumerate(items, 1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
            best[item] = min(best.get(item, (rank, order)), (rank, order))
    return sorted(scores.items(), key=lambda pair: (-pair[1], best[pair[0]]))
