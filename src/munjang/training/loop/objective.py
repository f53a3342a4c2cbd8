"""The interface between the training loop and an objective: examples, loss, evaluation and saving."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from munjang.errors import InputError
from munjang.tokenization.encoding import TokenIds
from munjang.training.loop.network import Network

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Loss:
    """A sum of losses, with gradients, and the number of summands (examples, tokens, ...)."""

    total: Tensor
    count: float


@dataclass(frozen=True, slots=True)
class Tally:
    """The summed loss of one part of a batch and the number of summands."""

    total: float
    count: float


class Objective(ABC, Generic[E]):
    """A training objective: the examples, the loss on a part of them, and the evaluation of the model.

    The loop does everything else. It minimises the mean of the loss over a whole update. A loss that is a sum
    over examples therefore gives the same result for every split of a batch into parts or among processes.

    Attributes:
        name: the task, such as ``text-classification``.
        examples: tokenised, in memory or on disk.
        metric: the value of `evaluate` that selects the best model; ``None`` without held-out data.
        lower_is_better: whether smaller values of the metric are better.
        whole_batches: whether the loss compares the examples of a batch, so that the batch must not be split.
        conflicts: ``[n, k]``, numbers that two examples of one batch should not share; ``None`` if there are
            no such restrictions.
        network: the model that is trained.
    """

    name: ClassVar[str]
    lower_is_better: ClassVar[bool] = False
    whole_batches: bool = False
    conflicts: NDArray[np.intp] | None = None
    metric: str | None = None
    examples: Sequence[E]
    network: Network
    _description: Mapping[str, str | int | float]

    @property
    def memory_setting(self) -> str:
        """Return the name of the option that determines the memory for a batch."""
        return "batch_size" if self.whole_batches else "token_budget"

    @abstractmethod
    def costs(self) -> NDArray[np.intp]:
        """Return the number of tokens of each example, ``[n]``."""

    @abstractmethod
    def loss(self, examples: Sequence[E], rng: np.random.Generator) -> Loss:
        """Return the loss on a list of examples, with gradients."""

    def accumulate(self, examples: Sequence[E], rng: np.random.Generator) -> Tally:
        """Add the gradients of the loss on a list of examples to the accumulated gradients."""
        with self.network.precision():
            loss = self.loss(examples, rng)
        loss.total.backward()  # type: ignore[no-untyped-call]
        return Tally(float(loss.total.detach()), loss.count)

    def evaluate(self) -> Mapping[str, float]:
        """Measure the current model on held-out data. The loop calls `Network.settle` before."""
        return {}

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the current model with all the files that are needed to use it."""

    def describe(self) -> Mapping[str, str | int | float]:
        """Return the data, model and settings of the objective, for the report and the run's identity."""
        return self._description

    @abstractmethod
    def usage(self, folder: Path) -> str:
        """Return lines of Python that show how to use the saved model."""


class Tokenised(Protocol):
    """An example with the texts that the model processes."""

    @property
    def texts(self) -> Sequence[TokenIds]:
        """Return the ids of each text."""
        ...


def require_examples(examples: Sized) -> None:
    """Raise `InputError` if there are no examples."""
    if not len(examples):
        raise InputError("There are no examples to learn from.")


def costs_of(examples: Sequence[Tokenised]) -> NDArray[np.intp]:
    """Return the total number of tokens in the texts of each example, ``[n]``."""
    lengths = [sum(len(text.input_ids) for text in example.texts) for example in examples]
    return np.array(lengths, dtype=np.intp)


def cut_into_parts(
    indices: NDArray[np.intp], costs: NDArray[np.intp], budget: int
) -> Iterator[NDArray[np.intp]]:
    """Split a batch into parts of at most ``budget`` tokens. A larger example forms a part by itself."""
    start = used = 0
    for position, cost in enumerate(costs[indices]):
        if position > start and used + cost > budget:
            yield indices[start:position]
            start, used = position, 0
        used += int(cost)
    if start < len(indices):
        yield indices[start:]
