"""Losses on pairs of texts: the order of their scores, or whether they belong together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from munjang.errors import InputError
from munjang.training.losses.base import (
    Batch,
    Distance,
    InputExample,
    SentenceLoss,
    check_labels,
    choose_distance,
)

__all__ = ["AnglELoss", "CoSENTLoss", "ContrastiveLoss", "OnlineContrastiveLoss"]


class CoSENTLoss(SentenceLoss):
    """Pairs with a higher score shall have the higher cosine (doi:10.1109/TASLP.2024.3402087).

    Over all two pairs of a batch of which the first has the higher score, it is
    ``log(1 + sum(exp(scale * (cosine of the second - cosine of the first))))``. Only the order of the scores
    counts.
    """

    looks_at_batch = True

    def __init__(self, scale: float = 20.0) -> None:
        if not scale > 0:
            raise InputError(f"scale must be more than 0, got {scale}.")
        self.scale = scale

    def check(self, examples: Sequence[InputExample], width: int) -> None:
        """Raise `InputError` if the scores have no order."""
        super().check(examples, width)
        if len({example.label for example in examples}) < 2:
            raise InputError(f"{self.describe()} learns the order of scores; all have the same score.")

    def similarity(self, u: Tensor, v: Tensor) -> Tensor:
        """How alike the texts of each pair are: two ``[B, d]`` -> ``[B]``."""
        return functional.cosine_similarity(u, v)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the batch's loss times the number of pairs."""
        u, v = batch.columns
        scores = self.similarity(u, v) * self.scale
        labels = batch.labels
        higher = labels[None, :] > labels[:, None]
        differences = (scores[:, None] - scores[None, :])[higher]
        return torch.cat([scores.new_zeros(1), differences]).logsumexp(dim=0) * len(scores)

    def describe(self) -> str:
        """Its name and scale."""
        return f"{type(self).__name__}(scale {self.scale:g})"


class AnglELoss(CoSENTLoss):
    """`CoSENTLoss` with the difference of angles in complex space, which has no flat ends (arXiv:2309.12871).

    A vector's first half are real parts, its second half the imaginary ones.
    """

    def similarity(self, u: Tensor, v: Tensor) -> Tensor:
        """``|cosine + sine|``: two ``[B, d]`` -> ``[B]``."""
        odd = u.shape[1] % 2
        u, v = (functional.normalize(functional.pad(x, (0, odd)), dim=1) for x in (u, v))
        real_u, imaginary_u = u.chunk(2, dim=1)
        real_v, imaginary_v = v.chunk(2, dim=1)
        sines = (imaginary_u * real_v - real_u * imaginary_v).sum(dim=1)
        return ((u * v).sum(dim=1) + sines).abs()


class ContrastiveLoss(SentenceLoss):
    """Pairs with the label 1 come together, those with 0 go ``margin`` apart (Hadsell, Chopra, LeCun 2006).

    Half of ``label * distance^2 + (1 - label) * max(0, margin - distance)^2``.
    """

    wants = "label"

    def __init__(self, distance: Distance = "cosine", margin: float = 0.5) -> None:
        self.distance = choose_distance(distance)
        self.margin = margin

    def check(self, examples: Sequence[InputExample], width: int) -> None:  # noqa: ARG002
        """Raise `InputError` for a label that is neither 0 nor 1."""
        check_labels(self.describe(), examples, 0, 1, whole=True)

    def distances(self, batch: Batch) -> Tensor:
        """How far apart the texts of each pair are, ``[B]``."""
        u, v = batch.columns
        if self.distance == "cosine":
            return 1 - functional.cosine_similarity(u, v)
        return functional.pairwise_distance(u, v, p=2.0 if self.distance == "euclidean" else 1.0)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the pairs."""
        distances, labels = self.distances(batch), batch.labels
        apart = functional.relu(self.margin - distances).square()
        return 0.5 * (labels * distances.square() + (1 - labels) * apart).sum()

    def describe(self) -> str:
        """Its name, distance and margin."""
        return f"{type(self).__name__}({self.distance}, margin {self.margin:g})"


class OnlineContrastiveLoss(ContrastiveLoss):
    """`ContrastiveLoss`, not halved, on the hard pairs of a batch only.

    Hard are those that belong together and are further apart than the nearest that do not, and the other way
    round.
    """

    looks_at_batch = True

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the hard pairs, times the number of pairs."""
        distances = self.distances(batch)
        together, apart = distances[batch.labels == 1], distances[batch.labels == 0]
        limit_apart = together.max() if len(together) else apart.mean()
        limit_together = apart.min() if len(apart) else together.mean()
        hard_apart, hard_together = apart[apart < limit_apart], together[together > limit_together]
        total = hard_together.square().sum() + functional.relu(self.margin - hard_apart).square().sum()
        return total * len(distances)
