"""Losses on pairs of texts with similarity scores or with binary labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

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
)
from munjang.training.options import check_positive
from munjang.validation import checked_choice, checked_number


class CoSENTLoss(SentenceLoss):
    """A loss by which pairs with a higher score get the higher cosine (doi:10.1109/TASLP.2024.3402087).

    ``log(1 + sum(exp(scale * (cosine of the second - cosine of the first))))``, summed over all combinations
    of two pairs of the batch in which the first has the higher score. Only the order of the scores matters.
    """

    looks_at_batch = True

    def __init__(self, scale: float = 20.0) -> None:
        self.scale = checked_number("scale", scale)
        check_positive("scale", self.scale)

    def check(self, examples: Sequence[InputExample], width: int) -> None:
        """Raise `InputError` if all scores are equal."""
        super().check(examples, width)
        if len({example.label for example in examples}) < 2:
            raise InputError(f"{self.describe()} learns the order of scores; all have the same score.")

    def similarity(self, u: Tensor, v: Tensor) -> Tensor:
        """Compute the similarity of each pair: two ``[B, d]`` -> ``[B]``."""
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
        """Return the name and the scale."""
        return f"{type(self).__name__}(scale {self.scale:.12g})"


class AnglELoss(CoSENTLoss):
    """`CoSENTLoss` with the angle difference in complex space as similarity (arXiv:2309.12871).

    Unlike the cosine, the angle difference has no saturation zones. The first half of a vector holds the real
    parts, the second half the imaginary parts.
    """

    def similarity(self, u: Tensor, v: Tensor) -> Tensor:
        """Compute ``|cosine + sine|``: two ``[B, d]`` -> ``[B]``."""
        odd = u.shape[1] % 2
        u, v = (functional.normalize(functional.pad(x, (0, odd)), dim=1) for x in (u, v))
        real_u, imaginary_u = u.chunk(2, dim=1)
        real_v, imaginary_v = v.chunk(2, dim=1)
        sines = (imaginary_u * real_v - real_u * imaginary_v).sum(dim=1)
        return ((u * v).sum(dim=1) + sines).abs()


class ContrastiveLoss(SentenceLoss):
    """A loss that pulls pairs with label 1 together and pushes pairs with label 0 apart, up to ``margin``.

    Half of ``label * distance^2 + (1 - label) * max(0, margin - distance)^2`` (Hadsell, Chopra, LeCun 2006).
    """

    wants = "label"

    def __init__(self, distance: Distance = "cosine", margin: float = 0.5) -> None:
        self.distance = checked_choice("distance", distance, get_args(Distance))
        self.margin = checked_number("margin", margin)

    def check(self, examples: Sequence[InputExample], width: int) -> None:  # noqa: ARG002
        """Raise `InputError` for a label that is neither 0 nor 1."""
        check_labels(self.describe(), examples, 0, 1, whole=True)

    def distances(self, batch: Batch) -> Tensor:
        """Compute the distance of each pair, ``[B]``."""
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
        """Return the name, the distance and the margin."""
        return f"{type(self).__name__}({self.distance}, margin {self.margin:.12g})"


class OnlineContrastiveLoss(ContrastiveLoss):
    """`ContrastiveLoss`, not halved, on the hard pairs of a batch only.

    A pair with label 1 is hard if its distance is greater than the smallest distance of a pair with label 0.
    A pair with label 0 is hard if its distance is less than the greatest distance of a pair with label 1.
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
