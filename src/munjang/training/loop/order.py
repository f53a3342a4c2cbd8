"""The order of the examples: shuffled again for each epoch, and reproducible with the same seed."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from munjang.training.options import TrainingOptions

Indices = NDArray[np.intp]
_ORDER, _STEP = 0, 1  # the purpose of a generator, part of its seed
_SIGHT = 20  # blocks of look-ahead in the search for an example without conflict


def generator(seed: int, *position: int) -> np.random.Generator:
    """Return the random generator for one position in a run. It does not depend on earlier positions."""
    return np.random.default_rng([seed, _STEP, *position])


@dataclass(frozen=True, slots=True)
class Update:
    """A step of the optimizer: its number (from 1), its epoch (from 0) and its batches."""

    number: int
    epoch: int
    batches: Sequence[Indices]
    ends_epoch: bool


class Order:
    """The batches of a run.

    Args:
        costs: ``[n]``, the number of tokens of each example.
        options: the sizes of batches, the epochs and the seed.
        whole_batches: leave out the last batch of an epoch if it is smaller than the others.
        conflicts: ``[n, k]``, numbers that two examples of one batch should not share if avoidable.
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
        """Return the batches of an epoch, in random order."""
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
        """Return the offsets that split the order into parts of about equal tokens, none of them empty."""
        tokens = np.cumsum(self._costs[order])
        cuts = np.searchsorted(tokens, np.arange(1, count) * (tokens[-1] / count), side="left") + 1
        steps = np.arange(1, count)
        cuts = np.maximum.accumulate(np.maximum(cuts, steps) - steps) + steps
        bounded: Indices = np.minimum(cuts, len(order) - count + steps)
        return bounded

    def updates(self, after: int = 0) -> Iterator[Update]:
        """Yield the updates of the run with numbers greater than ``after``."""
        accumulated = self._options.gradient_accumulation_steps
        for epoch in range(after // self.per_epoch, math.ceil(self.steps / self.per_epoch)):
            batches = self.batches(epoch)
            for index in range(self.per_epoch):
                number = epoch * self.per_epoch + index + 1
                if after < number <= self.steps:
                    chosen = batches[index * accumulated : (index + 1) * accumulated]
                    yield Update(number, epoch, chosen, index == self.per_epoch - 1)


def _only_repeated(conflicts: Indices) -> list[frozenset[int]]:
    """Return for each example only the numbers that another example also has."""
    numbers = [frozenset(row) for row in conflicts.tolist()]
    counts = Counter(number for row in numbers for number in row)
    return [frozenset(number for number in row if counts[number] > 1) for row in numbers]


def _kept_apart(order: Indices, conflicts: Sequence[frozenset[int]], size: int) -> Indices:
    """Change an order as little as needed so that no number occurs twice in a block of ``size`` examples.

    An example that conflicts with a block waits for the next block. If all examples within the look-ahead
    conflict, the block is filled with the examples that have waited longest.
    """
    apart: list[int] = []
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
        apart += block + passed[:missing]
        waiting.extendleft(reversed(passed[missing:]))
    return np.array(apart, dtype=np.intp)
