"""In which order examples are seen: drawn anew each epoch, and the same again for the same seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from munjang.training.options import TrainingOptions

__all__ = ["Order", "Update", "generator"]

Indices = NDArray[np.intp]
_ORDER, _STEP = 0, 1  # what a generator is for


def generator(seed: int, *place: int) -> np.random.Generator:
    """Give the random numbers of one place in a run: they depend on nothing that happened before it."""
    return np.random.default_rng([seed, _STEP, *place])


@dataclass(frozen=True, slots=True)
class Update:
    """One step of the optimiser: its number from 1 on, its epoch from 0 on, and its batches."""

    number: int
    epoch: int
    batches: Sequence[Indices]
    ends_epoch: bool


class Order:
    """The batches of a run.

    Args:
        costs: ``[n]``, the tokens of each example.
        options: the sizes of batches, the epochs and the seed.
        whole_batches: leave the last batch of an epoch out if it is smaller than the others.
    """

    def __init__(self, costs: Indices, options: TrainingOptions, *, whole_batches: bool = False) -> None:
        self._costs = costs
        self._options = options
        self._whole = whole_batches and len(costs) > options.batch_size
        self.per_epoch = math.ceil(self._batch_count() / options.gradient_accumulation_steps)
        steps = math.ceil(options.epochs * self.per_epoch - 1e-9)
        self.steps = steps if options.max_steps is None else options.max_steps

    def _batch_count(self) -> int:
        if self._options.batch_tokens is not None:
            return min(len(self._costs), math.ceil(int(self._costs.sum()) / self._options.batch_tokens))
        count = len(self._costs) / self._options.batch_size
        return math.floor(count) if self._whole else math.ceil(count)

    def batches(self, epoch: int) -> list[Indices]:
        """Draw the batches of an epoch."""
        rng = np.random.default_rng([self._options.seed, _ORDER, epoch])
        order = rng.permutation(len(self._costs))
        count = self._batch_count()
        if self._options.batch_tokens is None:
            size = self._options.batch_size
            return [order[i * size : (i + 1) * size] for i in range(count)]
        return [batch for batch in np.split(order, self._cuts(order, count)) if len(batch)]

    def _cuts(self, order: Indices, count: int) -> Indices:
        """Cut where the tokens come to equal parts, but leave no batch empty."""
        tokens = np.cumsum(self._costs[order])
        cuts = np.searchsorted(tokens, np.arange(1, count) * (tokens[-1] / count), side="left") + 1
        steps = np.arange(1, count)
        cuts = np.maximum.accumulate(np.maximum(cuts, steps) - steps) + steps
        return np.minimum(cuts, len(order) - count + steps)

    def updates(self, after: int = 0) -> Iterator[Update]:
        """Give the updates of the run that come after so many."""
        accumulated = self._options.gradient_accumulation_steps
        for epoch in range(after // self.per_epoch, math.ceil(self.steps / self.per_epoch)):
            batches = self.batches(epoch)
            for place in range(self.per_epoch):
                number = epoch * self.per_epoch + place + 1
                if after < number <= self.steps:
                    chosen = batches[place * accumulated : (place + 1) * accumulated]
                    yield Update(number, epoch, chosen, place == self.per_epoch - 1)
