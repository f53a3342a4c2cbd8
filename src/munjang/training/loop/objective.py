"""What is learned: the interface between the loop and everything that can be trained."""

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

__all__ = ["Loss", "Objective", "Tally", "Tokenised", "costs_of", "cut_into_parts", "require_examples"]

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Loss:
    """A sum of losses, with gradients, and how many were added up (examples, tokens, ...)."""

    total: Tensor
    count: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What one part of a batch brought: its summed loss and how many losses that were."""

    total: float
    count: float


class Objective(ABC, Generic[E]):
    """Examples, the loss on some of them, and how good the model has become.

    The loop sees to everything else. The mean of the loss over a whole update is what is minimised, so a loss
    that is a sum over examples gives the same result however a batch is cut or shared out among processes.

    Attributes:
        name: what is trained, such as ``text-classification``.
        examples: tokenised, in memory or on disk.
        metric: which value of `evaluate` decides what is best; ``None`` without held-out data.
        lower_is_better: whether smaller values of the metric are better.
        whole_batches: whether the loss looks at a batch as a whole, so that it must not be cut.
        conflicts: ``[n, k]``, numbers that two examples of one batch should not share; ``None`` if any may.
        network: what is trained.
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
        """The option that decides how much memory a batch takes."""
        return "batch_size" if self.whole_batches else "token_budget"

    @abstractmethod
    def costs(self) -> NDArray[np.intp]:
        """The tokens of each example, ``[n]``."""

    @abstractmethod
    def loss(self, examples: Sequence[E], rng: np.random.Generator) -> Loss:
        """The loss on some examples, with gradients."""

    def accumulate(self, examples: Sequence[E], rng: np.random.Generator) -> Tally:
        """Add the gradients of the loss on some examples to those that are there."""
        with self.network.precision():
            loss = self.loss(examples, rng)
        loss.total.backward()  # type: ignore[no-untyped-call]
        return Tally(float(loss.total.detach()), loss.count)

    def evaluate(self) -> Mapping[str, float]:
        """Measure the model as it is now on held-out data; the network is in step with what was learned."""
        return {}

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model as it is now, with all that it takes to use it."""

    def describe(self) -> Mapping[str, str | int | float]:
        """Name the data, the model and the settings of the objective, for the report and to know a run by."""
        return self._description

    @abstractmethod
    def usage(self, folder: Path) -> str:
        """Show how to use the saved model: lines of Python."""


class Tokenised(Protocol):
    """An example with the texts that go through the model for it."""

    @property
    def texts(self) -> Sequence[TokenIds]:
        """The ids of each text."""
        ...


def require_examples(examples: Sized) -> None:
    """Raise `InputError` if there is nothing to learn from."""
    if not len(examples):
        raise InputError("There are no examples to learn from.")


def costs_of(examples: Sequence[Tokenised]) -> NDArray[np.intp]:
    """The tokens of each example, all its texts together: ``[n]``."""
    lengths = [sum(len(text.input_ids) for text in example.texts) for example in examples]
    return np.array(lengths, dtype=np.intp)


def cut_into_parts(
    places: NDArray[np.intp], costs: NDArray[np.intp], budget: int
) -> Iterator[NDArray[np.intp]]:
    """Cut a batch into parts of at most ``budget`` tokens; an example that is larger stands alone."""
    start = used = 0
    for at, cost in enumerate(costs[places]):
        if at > start and used + cost > budget:
            yield places[start:at]
            start, used = at, 0
        used += int(cost)
    if start < len(places):
        yield places[start:]
