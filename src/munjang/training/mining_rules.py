"""What is looked through for hard negatives, and which of it may be one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.evaluation.examples import Contrast
from munjang.tokenization import nfc

__all__ = ["MiningRules", "MiningTexts"]


@dataclass(frozen=True, slots=True)
class MiningTexts:
    """The different anchors and texts; ``positives`` and ``own`` are places in the corpus."""

    queries: list[str]
    corpus: list[str]
    positives: list[list[int]]  # of each query
    own: list[int | None]  # where the query itself stands
    most: int  # pairs with one anchor

    @classmethod
    def of(cls, pairs: Sequence[Contrast | tuple[str, str]], corpus: Sequence[str] | None) -> MiningTexts:
        """Take pairs with equal anchors together; a text is equal to itself in another Unicode form."""
        if not pairs:
            raise InputError("There are no pairs to find negatives for.")
        if isinstance(corpus, str):
            raise InputTypeError("corpus must be a list of texts, got one text.")
        both = [_read_pair(pair, place) for place, pair in enumerate(pairs)]
        places: dict[str, int] = {}
        texts: list[str] = []
        for text in [*(corpus or ()), *(positive for _, positive in both)]:
            if places.setdefault(nfc(text), len(texts)) == len(texts):
                texts.append(text)
        grouped: dict[str, list[int]] = {}
        for anchor, positive in both:
            found = grouped.setdefault(anchor, [])
            if (place := places[nfc(positive)]) not in found:
                found.append(place)
        return cls(
            list(grouped),
            texts,
            list(grouped.values()),
            [places.get(nfc(anchor)) for anchor in grouped],
            max(Counter(anchor for anchor, _ in both).values()),
        )

    def contrasts(self, query: int, negatives: NDArray[np.intp], *, together: bool) -> Iterator[Contrast]:
        """Give what is learned from a query and its negatives, for each of its positives."""
        anchor = self.queries[query]
        texts = tuple(self.corpus[place] for place in negatives.tolist())
        for positive in self.positives[query]:
            for row in [texts] if together else [(text,) for text in texts]:
                yield Contrast(anchor, self.corpus[positive], row)


def _read_pair(pair: Contrast | tuple[str, str], place: int) -> tuple[str, str]:
    anchor_positive = (pair.anchor, pair.positive) if isinstance(pair, Contrast) else tuple(pair)
    if len(anchor_positive) != 2 or not all(isinstance(text, str) for text in anchor_positive):
        raise InputTypeError(f"Pair {place} must be an anchor and a positive, got {pair!r}.")
    return anchor_positive[0], anchor_positive[1]


@dataclass(frozen=True, slots=True)
class MiningRules:
    """Which candidates may be negatives."""

    range_min: int
    range_max: int | None
    max_score: float | None
    min_score: float | None
    absolute_margin: float | None
    relative_margin: float | None
    count: int
    depth: int = 0  # how many texts are looked up, positives among them

    @property
    def judges(self) -> bool:
        """Whether it looks at scores."""
        limits = (self.max_score, self.min_score, self.absolute_margin, self.relative_margin)
        return any(limit is not None for limit in limits)

    def resolved(self, most: int, reranked: bool) -> MiningRules:
        """Choose the range that was left open and check it; ``most`` positives belong to one anchor."""
        if self.count < 1 or self.range_min < 0:
            raise InputError(
                f"num_negatives must be 1 or more and range_min 0 or more, got {self.count} and "
                f"{self.range_min}."
            )
        # Without a cross-encoder, texts beyond one below min_score are below it, too.
        limits = (self.max_score, self.absolute_margin, self.relative_margin)
        refuses = any(limit is not None for limit in limits) or (self.judges and reranked)
        last = self.range_max
        if last is None:
            last = self.range_min + self.count * (10 if refuses else 1) + most
        if last - self.range_min < self.count:
            raise InputError(
                f"range_min={self.range_min} and range_max={last} leave {max(0, last - self.range_min)} "
                f"candidates, too few for num_negatives={self.count}."
            )
        return replace(self, range_max=last, depth=last + most)

    def kept(self, scores: NDArray[np.float32], positive: np.float32) -> NDArray[np.bool_]:
        """Mark the candidates whose scores will do; ``positive`` is the lowest score of a positive."""
        kept = np.ones(scores.shape, dtype=np.bool_)
        if self.absolute_margin is not None:
            kept &= scores + np.float32(self.absolute_margin) <= positive
        if self.relative_margin is not None:
            kept &= scores <= positive - abs(positive) * np.float32(self.relative_margin)
        if self.max_score is not None:
            kept &= scores <= np.float32(self.max_score)
        if self.min_score is not None:
            kept &= scores >= np.float32(self.min_score)
        return kept
