"""The lead of a hit: how far its similarity exceeds those of the query's other near neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["BACKGROUND", "FITTING", "lead", "relative_leads", "surroundings"]

BACKGROUND = slice(5, 25)  # ranks of the neighbours that count as background: similar, but not answers
_FEWEST = 11  # minimum number of documents for a meaningful background
# A relative lead below the threshold shows that no document matches well. Measured with
# multilingual-e5-small and, for English, all-MiniLM-L6-v2. Questions that no document answers: 78 to 91% are
# below the threshold, in an index of everyday questions with their answers and of KorQuAD's paragraphs; 56%
# with MiniLM in an index of answers alone. Questions that a document answers: 3% are below in KorQuAD's
# paragraphs, none in questions with answers, and 3% (MiniLM) to 34% (e5, Korean) in short answers alone.
FITTING = 0.15


def surroundings(similarities: Sequence[float]) -> float | None:
    """Return the mean of the 6th to 25th highest similarity; of all but the highest if there are fewer.

    ``similarities`` include the best one, in any order; NaN is ignored. ``None`` if no other is left.
    """
    ordered = sorted((one for one in similarities if not math.isnan(one)), reverse=True)
    background = ordered[BACKGROUND] or ordered[1:]
    return sum(background) / len(background) if background else None


def lead(similarity: float, others: Sequence[float]) -> float:
    """Return by how much a similarity exceeds its `surroundings`; the similarity itself without surroundings.

    The cosines of a model lie in a narrow range, which is higher for some queries and languages than for
    others; so the difference from the query's surroundings is more informative than the cosine. Never
    negative for the highest similarity.
    """
    background = surroundings(others)
    return similarity if background is None else similarity - background


def relative_leads(similarities: Sequence[float]) -> list[float] | None:
    """Return ``(cosine - m) / (1 - m)`` for each cosine, with ``m`` the mean of the surroundings.

    Unlike cosines and leads, these shares are comparable between models. ``None`` with too few cosines.
    """
    background = surroundings(similarities) if len(similarities) >= _FEWEST else None
    if background is None or background >= 1:
        return None
    return [(one - background) / (1 - background) for one in similarities]
