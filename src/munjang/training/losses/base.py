"""The base class of losses on sentence vectors, and the two losses of Sentence-BERT (arXiv:1908.10084).

The input of a loss is the vectors of a batch's texts, its output the sum over the examples. The vectors have
length 1 only if the model ends with a normalisation.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.errors import InputError, InputTypeError
from munjang.validation import checked_count

Label: TypeAlias = float | Sequence[float] | NDArray[np.floating]
Wanted: TypeAlias = Literal["score", "label", "nothing", "vector"]
Distance: TypeAlias = Literal["cosine", "euclidean", "manhattan"]


@dataclass(frozen=True, slots=True)
class InputExample:
    """A training example of one or more texts; the attribute names are those of `sentence-transformers`.

    Attributes:
        texts: one or more texts.
        label: a score, a label's number, or a vector of numbers, as the loss requires.
        guid: a name that has no effect.
    """

    texts: Sequence[str]
    label: Label = 0.0
    guid: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The input of a loss.

    Attributes:
        columns: the vectors of the examples' first texts, of their second texts, ..., ``[B, d]`` each.
        labels: ``[B]``, or ``[B, k]`` if labels are vectors.
        texts: ``[len(columns), B]``, equal numbers for equal texts; ``None``: all texts count as different.
        own: the tensors of the loss itself.
    """

    columns: Sequence[Tensor]
    labels: Tensor
    texts: NDArray[np.intp] | None = None
    own: Mapping[str, Tensor] = field(default_factory=dict)


class SentenceLoss(ABC):
    """A loss on the vectors of a batch of examples.

    Attributes:
        wants: the required kind of label.
        columns: the number of texts in each example; 0 for any number.
        fewest_columns: the minimum number of texts in each example.
        looks_at_batch: whether an example's loss depends on the other examples of the batch.
        in_batch_negatives: whether the other examples serve as negatives, so that no text should occur twice
            in a batch.
        cached: whether large batches go through the model in parts, with a second pass for the gradients
            (arXiv:2101.06983).
    """

    wants: Wanted = "score"
    columns: int = 2
    fewest_columns: int = 1
    looks_at_batch: bool = False
    in_batch_negatives: bool = False
    cached: bool = False

    @abstractmethod
    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum of the examples' losses."""

    def tensors(self, width: int, seed: int) -> dict[str, NDArray[np.float32]]:  # noqa: ARG002
        """Return by name the tensors that are trained with the model and discarded after training."""
        return {}

    def check(self, examples: Sequence[InputExample], width: int) -> None:  # noqa: ARG002
        """Raise an error if labels do not suit the loss; ``width`` is the width of the vectors.

        The error is `InputTypeError` for a wrong type of label, `InputError` for a wrong value.
        """
        if self.wants != "nothing":
            check_labels(self.describe(), examples, -math.inf, math.inf)

    def describe(self) -> str:
        """Return the name and the settings of the loss."""
        return type(self).__name__


def check_labels(
    loss: str, examples: Sequence[InputExample], least: float, most: float, *, whole: bool = False
) -> None:
    """Check that every label is a number from ``least`` to ``most``, and an integer if ``whole``.

    Raises `InputTypeError` for a label that is not a number, `InputError` for a number out of range.
    """
    for index, example in enumerate(examples):
        label = example.label
        if not isinstance(label, int | float | np.number):
            raise InputTypeError(
                f"{loss} needs a number as label, example {index} has a {type(label).__name__}."
            )
        number = float(label)
        fits = math.isfinite(number) and least <= number <= most and not (whole and number % 1)
        if not fits:
            kind = "a whole number" if whole else "a number"
            limits = f" from {least:g} to {most:g}" if math.isfinite(most) else ""
            raise InputError(f"{loss} needs {kind}{limits} as label, example {index} has {label}.")


def label_vector(loss: str, example: InputExample, index: int) -> NDArray[np.float32]:
    """Return a label as an array ``[k]``. Raises `InputError` unless all its numbers are finite."""
    vector = np.atleast_1d(np.asarray(example.label, dtype=np.float32))
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise InputError(f"{loss} needs a row of finite numbers as label; example {index} has another.")
    return vector


def columns_of(vectors: Tensor, count: int) -> tuple[Tensor, ...]:
    """Split vectors ``[columns * count, d]`` into columns ``[count, d]``."""
    return tuple(vectors[start : start + count] for start in range(0, len(vectors), count))


class CosineSimilarityLoss(SentenceLoss):
    """The squared difference between the cosine of two texts and their score (arXiv:1908.10084).

    Scores are from -1 to 1.
    """

    def check(self, examples: Sequence[InputExample], width: int) -> None:  # noqa: ARG002
        """Raise `InputError` for a score outside -1 to 1."""
        check_labels(self.describe(), examples, -1.0, 1.0)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the pairs."""
        u, v = batch.columns
        cosines = functional.cosine_similarity(u, v)
        return functional.mse_loss(cosines, batch.labels, reduction="sum")


class SoftmaxLoss(SentenceLoss):
    """The cross-entropy of ``softmax(W [u; v; |u - v|] + b)`` and a pair's label (arXiv:1908.10084).

    Labels are numbers from 0 to ``num_labels - 1``.
    """

    wants = "label"
    _WEIGHT: ClassVar[str] = "softmax_loss.weight"
    _BIAS: ClassVar[str] = "softmax_loss.bias"

    def __init__(self, num_labels: int) -> None:
        self.num_labels = checked_count("num_labels", num_labels, 2)

    def check(self, examples: Sequence[InputExample], width: int) -> None:  # noqa: ARG002
        """Raise `InputError` for a label that is not an integer from 0 to ``num_labels - 1``."""
        check_labels(self.describe(), examples, 0, self.num_labels - 1, whole=True)

    def tensors(self, width: int, seed: int) -> dict[str, NDArray[np.float32]]:
        """Return ``W`` and ``b``, uniform in +-1/sqrt(3 d), the initialisation of a linear layer in torch."""
        rng = np.random.default_rng([seed, 11])
        bound = (3 * width) ** -0.5
        shapes = {self._WEIGHT: (self.num_labels, 3 * width), self._BIAS: (self.num_labels,)}
        return {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}

    def logits(self, u: Tensor, v: Tensor, own: Mapping[str, Tensor]) -> Tensor:
        """Compute the logits of the labels of pairs: two ``[B, d]`` -> ``[B, num_labels]``."""
        features = torch.cat([u, v, (u - v).abs()], dim=-1)
        return functional.linear(features, own[self._WEIGHT], own[self._BIAS])

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the pairs."""
        u, v = batch.columns
        logits = self.logits(u, v, batch.own)
        return functional.cross_entropy(logits, batch.labels.long(), reduction="sum")

    def describe(self) -> str:
        """Return the name and the number of labels."""
        return f"SoftmaxLoss({self.num_labels} labels)"
