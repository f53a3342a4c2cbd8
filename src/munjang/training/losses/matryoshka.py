"""`MatryoshkaLoss`: training of vectors that stay useful when truncated to their first components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.errors import InputError
from munjang.training.losses.base import Batch, InputExample, SentenceLoss
from munjang.validation import check_instance


class MatryoshkaLoss(SentenceLoss):
    """The weighted sum of another loss on truncated vectors, for several dimensions (arXiv:2205.13147).

    The truncated vectors are normalised to length 1.

    Args:
        loss: the loss that is computed for each dimension.
        matryoshka_dims: the numbers of components; they should include the full width.
        matryoshka_weights: the weight of each dimension, by default 1 for all.

    Raises `InputError` if there are no dimensions, for dimensions below 1 or given twice, and for weights of
    the wrong number, negative or all 0.
    """

    def __init__(
        self,
        loss: SentenceLoss,
        matryoshka_dims: Sequence[int],
        matryoshka_weights: Sequence[float] | None = None,
    ) -> None:
        check_instance("loss", loss, SentenceLoss)
        dims, weights = list(matryoshka_dims), matryoshka_weights
        if not dims or min(dims) < 1 or len(set(dims)) < len(dims):
            raise InputError(f"matryoshka_dims must be different lengths of 1 or more, got {dims}.")
        if weights is None:
            weights = [1.0] * len(dims)
        if len(weights) != len(dims) or min(weights) < 0 or not max(weights) > 0:
            raise InputError(f"matryoshka_weights must be {len(dims)} numbers, not all 0, got {weights}.")
        self.loss = loss
        self.steps = sorted(zip(dims, weights, strict=True), reverse=True)
        self.wants, self.columns, self.fewest_columns = loss.wants, loss.columns, loss.fewest_columns
        self.looks_at_batch, self.cached = loss.looks_at_batch, loss.cached
        self.in_batch_negatives = loss.in_batch_negatives

    def check(self, examples: Sequence[InputExample], width: int) -> None:
        """Raise `InputError` for dimensions above the model's width, and what the inner loss raises."""
        longest = self.steps[0][0]
        if longest > width:
            raise InputError(f"The model makes vectors of {width} numbers, matryoshka_dims has {longest}.")
        self.loss.check(examples, width)

    def tensors(self, width: int, seed: int) -> dict[str, NDArray[np.float32]]:
        """Return separate tensors of the inner loss for each dimension, since they may depend on it."""
        return {
            _name(dim, name): value
            for dim, _ in self.steps
            for name, value in self.loss.tensors(min(dim, width), seed).items()
        }

    def __call__(self, batch: Batch) -> Tensor:
        """Return the weighted sum over the dimensions."""
        return torch.stack([weight * self.loss(_cut(batch, dim)) for dim, weight in self.steps]).sum()

    def describe(self) -> str:
        """Return the name, the inner loss and the dimensions."""
        steps = ", ".join(f"{dim}" if weight == 1 else f"{dim} x {weight:.12g}" for dim, weight in self.steps)
        return f"MatryoshkaLoss({self.loss.describe()}, {steps})"


def _name(dim: int, name: str) -> str:
    return f"matryoshka.{dim}.{name}"


def _cut(batch: Batch, dim: int) -> Batch:
    width = batch.columns[0].shape[-1]
    labels = batch.labels
    if labels.ndim == 2 and labels.shape[-1] == width:  # a teacher's vectors
        labels = labels[:, :dim]
    prefix = _name(dim, "")
    own = {name.removeprefix(prefix): value for name, value in batch.own.items() if name.startswith(prefix)}
    columns = [functional.normalize(column[:, :dim], dim=-1) for column in batch.columns]
    return replace(batch, columns=columns, labels=labels, own=own)
