"""How far a similarity stands out from those of what is merely like the query."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["BACKGROUND", "FITTING", "lead", "relative_leads", "surroundings"]

BACKGROUND = slice(5, 25)  # the neighbours that any query has in a collection
_FEWEST = 11  # documents that surroundings are made of; fewer say nothing
# A relative lead below this shows that nothing fits well. Measured with multilingual-e5-small and, for
# English, all-MiniLM-L6-v2. Of questions about something else 78 to 91% are below, among everyday questions
# with their answers and among KorQuAD's paragraphs; 56% with MiniLM among answers alone. Of those that a
# document answers 3% are below among KorQuAD's, none among questions with answers, and 3% (MiniLM) to 34%
# (e5, Korean) among short answers alone.
FITTING = 0.15


def surroundings(similarities: Sequence[float]) -> float | None:
    """Return the mean of the 6th to 25th highest similarity; of all but the highest if there are fewer.

    The best one is among ``similarities``, in any order; NaN is left out. ``None`` if there is nothing else.
    """
    ordered = sorted((one for one in similarities if not math.isnan(one)), reverse=True)
    background = ordered[BACKGROUND] or ordered[1:]
    return sum(background) / len(background) if background else None


def lead(similarity: float, others: Sequence[float]) -> float:
    """Return by how much a similarity exceeds its `surroundings`; the similarity itself if it has none.

    The cosines of one model lie close together, and higher for some queries and languages than for others;
    what stands out from a query's own surroundings means more than the cosine alone. Never below zero for
    the most similar one.
    """
    background = surroundings(others)
    return similarity if background is None else similarity - background


def relative_leads(similarities: Sequence[float]) -> list[float] | None:
    """Return how far each cosine exceeds the surroundings, as a share of what they lack to 1.

    Unlike cosines and leads, shares of different models are alike. ``None`` with too few for surroundings.
    """
    background = surroundings(similarities) if len(similarities) >= _FEWEST else None
    if background is None or background >= 1:
        return None
    return [(one - background) / (1 - background) for one in similarities]
