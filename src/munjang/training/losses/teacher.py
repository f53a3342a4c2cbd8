"""Distillation losses: the student is trained to reproduce the teacher's vectors or scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from munjang.errors import InputError
from munjang.training.losses.base import Batch, InputExample, SentenceLoss, label_vector


class MSELoss(SentenceLoss):
    """The mean squared difference to a teacher's vector (arXiv:2004.09813).

    The label is the teacher's vector ``[d]``. It is the target for all texts of an example, such as a text
    and its translation, to train a student in a further language.
    """

    wants = "vector"
    columns = 0

    def check(self, examples: Sequence[InputExample], width: int) -> None:
        """Raise `InputError` for a label whose width differs from the student's vectors."""
        for index, example in enumerate(examples):
            length = len(label_vector("MSELoss", example, index))
            if length != width:
                raise InputError(
                    f"The model makes vectors of {width} numbers, example {index} has a label of {length}."
                )

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the examples of the mean over texts and components."""
        differences = torch.stack(list(batch.columns), dim=1) - batch.labels[:, None, :]
        return differences.square().mean(dim=(1, 2)).sum()


class MarginMSELoss(SentenceLoss):
    """The squared difference between the student's and the teacher's margin (arXiv:2010.02666).

    Texts are a query, a positive and one or more negatives. A margin is the score of the positive minus the
    score of a negative; the student's score is the dot product. Labels are the teacher's margins, one for
    each negative, or its scores of the positive and of each negative.
    """

    wants = "vector"
    columns = 0
    fewest_columns = 3

    def check(self, examples: Sequence[InputExample], width: int) -> None:  # noqa: ARG002
        """Raise `InputError` for a label with too few or too many scores."""
        counts = [len(label_vector("MarginMSELoss", e, index)) for index, e in enumerate(examples)]
        negatives = len(examples[0].texts) - 2
        for index, count in enumerate(counts):
            if count not in (negatives, negatives + 1) or count != counts[0]:
                raise InputError(
                    f"MarginMSELoss needs {negatives} margins, or {negatives + 1} scores, in each label; "
                    f"example {index} has {count} numbers."
                )

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the examples of the mean over their negatives."""
        query, *documents = batch.columns
        scores = torch.stack([(query * document).sum(dim=-1) for document in documents], dim=1)
        margins = scores[:, :1] - scores[:, 1:]
        labels = batch.labels.reshape(len(margins), -1)
        if labels.shape[1] > margins.shape[1]:
            labels = labels[:, :1] - labels[:, 1:]
        return functional.mse_loss(margins, labels, reduction="none").mean(dim=1).sum()
