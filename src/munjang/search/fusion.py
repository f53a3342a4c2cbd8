"""Rankings made into one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar, get_args

__all__ = ["FUSIONS", "Fusion", "K", "convex_combination", "fuse", "reciprocal_rank_fusion"]

Item = TypeVar("Item", bound=Hashable)

Fusion: TypeAlias = Literal["scores", "ranks"]
FUSIONS: tuple[str, ...] = get_args(Fusion)

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


def convex_combination(
    rankings: Mapping[str, Sequence[tuple[Item, float]]],
    weights: Mapping[str, float],
    lowest: Mapping[str, float],
) -> list[tuple[Item, float]]:
    """Join scored rankings, best first: the weighted mean of an item's scores, each brought between 0 and 1.

    In each ranking the best score becomes 1. What becomes 0 is its entry in ``lowest``, for scores that have
    a least value, or else the last score of the ranking; an item that a ranking lacks has 0 there. Bruch,
    Gai and Ingber, "An analysis of fusion functions for hybrid retrieval", ACM TOIS 42(1), 2023, who find it
    better than ranks, which forget how far apart the scores were. Ties as in `reciprocal_rank_fusion`.
    """
    total = sum(weights.get(name, 1.0) for name in rankings) or 1.0
    scores: dict[Item, float] = {}
    best: dict[Item, tuple[int, int]] = {}
    for order, (name, found) in enumerate(rankings.items()):
        if not found:
            continue
        high, low = found[0][1], lowest.get(name, found[-1][1])
        share = weights.get(name, 1.0) / total
        for rank, (item, score) in enumerate(found, 1):
            relative = (score - low) / (high - low) if high > low else 1.0
            scores[item] = scores.get(item, 0.0) + share * relative
            best[item] = min(best.get(item, (rank, order)), (rank, order))
    return sorted(scores.items(), key=lambda pair: (-pair[1], best[pair[0]]))


def fuse(
    fusion: str,
    rankings: Mapping[str, Sequence[tuple[Item, float]]],
    weights: Mapping[str, float],
    lowest: Mapping[str, float],
) -> list[tuple[Item, float]]:
    """Join rankings by their ``"scores"`` or by their ``"ranks"``."""
    if fusion == "scores":
        return convex_combination(rankings, weights, lowest)
    ranks = {name: [item for item, _ in found] for name, found in rankings.items()}
    return reciprocal_rank_fusion(ranks, weights)
