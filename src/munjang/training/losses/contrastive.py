"""Contrastive losses on an anchor, its positive and negatives."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from munjang.training.losses.base import Batch, Distance, SentenceLoss
from munjang.training.options import check_positive
from munjang.validation import checked_choice, checked_flag, checked_number

_SCORES_AT_ONCE = 2**22  # 16 MiB


class TripletLoss(SentenceLoss):
    """Triplet loss: the positive should be nearer to the anchor than the negative, by ``margin``.

    ``max(0, distance to the positive - distance to the negative + margin)`` (arXiv:1503.03832).
    """

    wants = "nothing"
    columns = 3

    def __init__(self, distance: Distance = "euclidean", margin: float = 5.0) -> None:
        self.distance = checked_choice("distance", distance, get_args(Distance))
        self.margin = checked_number("margin", margin)

    def _distances(self, u: Tensor, v: Tensor) -> Tensor:
        if self.distance == "cosine":
            return 1 - functional.cosine_similarity(u, v)
        # If both vectors are equal, the gradient of vector_norm is 0, not NaN.
        order = 2 if self.distance == "euclidean" else 1
        distances: Tensor = torch.linalg.vector_norm(u - v, ord=order, dim=-1)
        return distances

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the triplets."""
        anchor, positive, negative = batch.columns
        nearer = self._distances(anchor, positive) - self._distances(anchor, negative)
        return functional.relu(nearer + self.margin).sum()

    def describe(self) -> str:
        """Return the name, the distance and the margin."""
        return f"TripletLoss({self.distance}, margin {self.margin:.12g})"


class MultipleNegativesRankingLoss(SentenceLoss):
    """In-batch negatives: an anchor's positive should be its most similar text (arXiv:1705.00652).

    The cross-entropy over ``scale`` times the similarity of an anchor to every positive and every negative of
    the batch. With several processes, each process compares only the texts in its share of a batch.

    Args:
        scale: the factor of the similarities, the inverse of a temperature.
        similarity: ``cosine`` or ``dot``.
        skip_false_negatives: exclude, for each anchor, other examples' texts that equal the anchor or its
            positive, and positives of an equal anchor.
    """

    wants = "nothing"
    columns = 0
    fewest_columns = 2
    looks_at_batch = True
    in_batch_negatives = True

    def __init__(
        self,
        scale: float = 20.0,
        similarity: Literal["cosine", "dot"] = "cosine",
        *,
        skip_false_negatives: bool = True,
    ) -> None:
        self.scale = checked_number("scale", scale)
        check_positive("scale", self.scale)
        self.similarity = checked_choice("similarity", similarity, ("cosine", "dot"))
        self.skip_false_negatives = checked_flag("skip_false_negatives", skip_false_negatives)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the anchors. Scores are computed for a limited number of anchors at a time."""
        anchors, candidates = batch.columns[0], torch.cat(list(batch.columns[1:]))
        if self.similarity == "cosine":
            anchors, candidates = functional.normalize(anchors), functional.normalize(candidates)
        left_out = self._left_out(batch)
        rows = max(1, _SCORES_AT_ONCE // len(candidates))
        if rows >= len(anchors):
            return self._sum(anchors, candidates, left_out, 0)
        return torch.stack(
            [
                checkpoint(
                    self._sum,
                    anchors[start : start + rows],
                    candidates,
                    None if left_out is None else left_out[start : start + rows],
                    start,
                    use_reentrant=False,
                )
                for start in range(0, len(anchors), rows)
            ]
        ).sum()

    def _sum(self, anchors: Tensor, candidates: Tensor, left_out: Tensor | None, start: int) -> Tensor:
        scores = anchors @ candidates.T * self.scale
        if left_out is not None:
            scores = scores.masked_fill(left_out, -torch.inf)
        targets = torch.arange(start, start + len(anchors), device=scores.device)
        return functional.cross_entropy(scores, targets, reduction="sum")

    def _left_out(self, batch: Batch) -> Tensor | None:
        """Return a mask of the false negatives, ``[B, candidates]``; ``None`` if there are none."""
        if not self.skip_false_negatives or batch.texts is None:
            return None
        mask = _false_negatives(batch.texts)
        return torch.from_numpy(mask).to(batch.labels.device) if mask.any() else None

    def describe(self) -> str:
        """Return the name and the settings of the loss."""
        kept = "" if self.skip_false_negatives else ", false negatives kept"
        return f"{type(self).__name__}(scale {self.scale:.12g}, {self.similarity}{kept})"


class CachedMultipleNegativesRankingLoss(MultipleNegativesRankingLoss):
    """`MultipleNegativesRankingLoss` with the same gradients, for batches that do not fit in memory.

    Texts go through the model in parts of the run's ``token_budget``, first without gradients, and a second
    time when the gradients of their vectors are known (GradCache, arXiv:2101.06983).
    """

    cached = True


def _false_negatives(texts: NDArray[np.intp]) -> NDArray[np.bool_]:
    count = texts.shape[1]
    anchors, positives = texts[0], texts[1]
    candidates = texts[1:].reshape(-1)
    excluded: NDArray[np.bool_] = (candidates == positives[:, None]) | (candidates == anchors[:, None])
    excluded[:, :count] |= anchors == anchors[:, None]
    excluded[np.arange(count), np.arange(count)] = False
    return excluded
