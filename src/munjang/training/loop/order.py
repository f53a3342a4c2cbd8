"""In which order examples are seen: drawn anew each epoch, and the same again for the same seed."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from munjang.training.options import TrainingOptions

__all__ = ["Order", "Update", "generator"]

Indices = NDArray[np.intp]
_ORDER, _STEP = 0, 1  # what a generator is for
_SIGHT = 20  # how many blocks ahead an example that fits is looked for


def generator(seed: int, *place: int) -> np.random.Generator:
    """Return the random numbers of one place in a run: they depend on nothing that happened before it."""
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
        conflicts: ``[n, k]``, numbers that two examples of one batch should not share where it is avoidable.
    """

    def __init__(
        self,
        costs: Indices,
        options: TrainingOptions,
        *,
        whole_batches: bool = False,
        conflicts: Indices | None = None,
    ) -> None:
        self._costs = costs
        self._conflicts = None if conflicts is None else _only_repeated(conflicts)
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
        if self._conflicts is not None:
            by_number = self._options.batch_tokens is None
            size = self._options.batch_size if by_number else math.ceil(len(order) / count)
            order = _kept_apart(order, self._conflicts, size)
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
        bounded: Indices = np.minimum(cuts, len(order) - count + steps)
        return bounded

    def updates(self, after: int = 0) -> Iterator[Update]:
        """Yield the updates of the run that come after so many."""
        accumulated = self._options.gradient_accumulation_steps
        for epoch in range(after // self.per_epoch, math.ceil(self.steps / self.per_epoch)):
            batches = self.batches(epoch)
            for place in range(self.per_epoch):
                number = epoch * self.per_epoch + place + 1
                if after < number <= self.steps:
                    chosen = batches[place * accumulated : (place + 1) * accumulated]
                    yield Update(number, epoch, chosen, place == self.per_epoch - 1)


def _only_repeated(conflicts: Indices) -> list[frozenset[int]]:
    """Keep of each example the numbers that another one has, too."""
    numbers = [frozenset(row) for row in conflicts.tolist()]
    counts = Counter(number for row in numbers for number in row)
    return [frozenset(number for number in row if counts[number] > 1) for row in numbers]


def _kept_apart(order: Indices, conflicts: Sequence[frozenset[int]], size: int) -> Indices:
    """Change an order as little as needed for blocks of ``size`` in which no number stands twice.

    An example that does not fit a block waits for the next. Where all in sight conflict, the block is filled
    with those that waited longest.
    """
    found: list[int] = []
    waiting = deque(order.tolist())
    while waiting:
        block: list[int] = []
        taken: set[int] = set()
        passed: list[int] = []
        while waiting and len(block) < size and len(passed) < _SIGHT * size:
            example = waiting.popleft()
            if taken.isdisjoint(conflicts[example]):
                block.append(example)
                taken |= conflicts[example]
            else:
                passed.append(example)
        missing = size - len(block)
        found += block + passed[:missing]
        waiting.extendleft(reversed(passed[missing:]))
    return np.array(found, dtype=np.intp)
