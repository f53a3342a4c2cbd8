"""Losses of cross-encoders, on single pairs and on a query's list of documents.

The arguments of a loss are the concatenated logits of all documents, ``[n]``, their targets, ``[n]``, and the
number of documents in each list. It returns the sum and the number of summands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from munjang.training.loop.objective import Loss

_Function: TypeAlias = Callable[[Tensor, Tensor, list[int]], Loss]


@dataclass(frozen=True, slots=True)
class RankingLoss:
    """A loss with its properties.

    Attributes:
        function: the loss.
        compares: whether the loss compares documents of a list, so that it is not usable on single pairs.
        activation: the activation that turns logits into scores at inference, by torch's name.
    """

    function: _Function
    compares: bool
    activation: str


def binary_cross_entropy(logits: Tensor, targets: Tensor, sizes: list[int]) -> Loss:  # noqa: ARG001
    """Compute the binary cross-entropy of each pair's sigmoid; targets are from 0 to 1."""
    total = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    return Loss(total, len(logits))


def mean_squared_error(logits: Tensor, targets: Tensor, sizes: list[int]) -> Loss:  # noqa: ARG001
    """Compute the squared difference of each pair's logit and target."""
    return Loss(functional.mse_loss(logits, targets, reduction="sum"), len(logits))


def list_net(logits: Tensor, targets: Tensor, sizes: list[int]) -> Loss:
    """Compute ListNet: the cross-entropy between softmax(grades) and softmax(logits) of a list (Cao 2007)."""
    total = logits.new_zeros(())
    for scores, grades in zip(torch.split(logits, sizes), torch.split(targets, sizes), strict=True):
        # Not `@`: under autocast it would be computed in half precision.
        total = total - (grades.softmax(dim=0) * scores.log_softmax(dim=0)).sum()
    return Loss(total, len(sizes))


def rank_net(logits: Tensor, targets: Tensor, sizes: list[int]) -> Loss:
    """Compute RankNet: ``log(1 + exp(s_worse - s_better))`` over pairs of unequal grade (Burges 2005)."""
    total, count = logits.new_zeros(()), 0
    for scores, grades in zip(torch.split(logits, sizes), torch.split(targets, sizes), strict=True):
        better = grades[:, None] > grades[None, :]
        total = total + functional.softplus((scores[None, :] - scores[:, None])[better]).sum()
        count += int(better.sum())
    return Loss(total, count)


_SIGMOID, _IDENTITY = "torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity"
RANKING_LOSSES: Mapping[str, RankingLoss] = {
    "binary-cross-entropy": RankingLoss(binary_cross_entropy, compares=False, activation=_SIGMOID),
    "mean-squared-error": RankingLoss(mean_squared_error, compares=False, activation=_IDENTITY),
    "listnet": RankingLoss(list_net, compares=True, activation=_IDENTITY),
    "ranknet": RankingLoss(rank_net, compares=True, activation=_IDENTITY),
}
