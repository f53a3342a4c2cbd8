"""Losses on sentence vectors, each as in the paper that it comes from.

A loss gets the vectors of each column of its examples, ``[B, d]`` each (not of length 1 unless the model
makes them so), and the examples' targets; it gives the sum over the examples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["CosineSimilarityLoss", "SentenceLoss", "SoftmaxLoss"]


class SentenceLoss(ABC):
    """A loss on the vectors of a batch of examples.

    Attributes:
        looks_at_batch: whether other examples of the batch take part in an example's loss.
        columns: texts in each example; 0 if that may differ from one data set to the next.
    """

    looks_at_batch: bool = False
    columns: int = 2

    @abstractmethod
    def __call__(self, vectors: Sequence[Tensor], targets: Tensor, own: Mapping[str, Tensor]) -> Tensor:
        """Give the sum of the losses; ``own`` are the loss's tensors."""

    def tensors(self, width: int, seed: int) -> dict[str, NDArray[np.float32]]:  # noqa: ARG002
        """Tensors that are trained with the model and needed no more afterwards, by name."""
        return {}

    def describe(self) -> str:
        """Its name and settings."""
        return type(self).__name__


class CosineSimilarityLoss(SentenceLoss):
    """The squared difference of the cosine of two sentences and their target (arXiv:1908.10084)."""

    def __call__(self, vectors: Sequence[Tensor], targets: Tensor, own: Mapping[str, Tensor]) -> Tensor:
        """Give the sum over the pairs."""
        return functional.mse_loss(
            functional.cosine_similarity(vectors[0], vectors[1]), targets, reduction="sum"
        )


class SoftmaxLoss(SentenceLoss):
    """Classification of pairs by ``softmax(W [u; v; |u - v|] + b)`` (arXiv:1908.10084).

    Targets are the labels' numbers.
    """

    _WEIGHT, _BIAS = "softmax_loss.weight", "softmax_loss.bias"

    def __init__(self, labels: int) -> None:
        self._labels = labels

    def tensors(self, width: int, seed: int) -> dict[str, NDArray[np.float32]]:
        """``W`` and ``b``, uniform in +-1/sqrt(3 d) as a linear layer begins in torch."""
        rng = np.random.default_rng([seed, 11])
        bound = (3 * width) ** -0.5
        shapes = {self._WEIGHT: (self._labels, 3 * width), self._BIAS: (self._labels,)}
        return {
            name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()
        }

    def __call__(self, vectors: Sequence[Tensor], targets: Tensor, own: Mapping[str, Tensor]) -> Tensor:
        """Give the sum over the pairs."""
        u, v = vectors
        logits = functional.linear(
            torch.cat([u, v, (u - v).abs()], dim=-1), own[self._WEIGHT], own[self._BIAS]
        )
        return functional.cross_entropy(logits, targets.long(), reduction="sum")

    def describe(self) -> str:
        """Its name and the number of labels."""
        return f"SoftmaxLoss({self._labels} labels)"
