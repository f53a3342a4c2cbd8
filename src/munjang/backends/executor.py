"""What every executor offers the runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.errors import CheckpointError, InputError
from munjang.models.batch import TokenBatch
from munjang.models.program import Program

__all__ = [
    "Array",
    "Compiled",
    "Executor",
    "OneByOne",
    "Outputs",
    "as_float32",
    "check_finite",
    "check_outputs",
    "gathered",
]

Array = NDArray[Any]
Outputs = dict[str, NDArray[np.float32]]
_CHECKED_BYTES = 2**24  # the matrices of the layers; tables of embeddings are larger and read only in part
K = TypeVar("K")
V = TypeVar("V")


class Compiled(Protocol):
    """A program ready to run on this machine."""

    def __call__(self, batch: TokenBatch[Array]) -> Outputs:
        """Run one batch."""
        ...

    def session(self) -> Callable[[TokenBatch[Array]], Outputs]:
        """Return a function that runs batch after batch, where attention remembers what came before."""
        ...

    def run_many(self, batches: Iterable[tuple[K, TokenBatch[Array]]]) -> Iterator[tuple[K, Outputs]]:
        """Run batches as they come, some at a time; yield each result with its key as it is ready."""
        ...

    def release(self) -> None:
        """Let go of what no collector would free; nobody uses the program any more."""
        ...


class OneByOne(ABC):
    """`Compiled` for an executor that uses every core for one batch."""

    @abstractmethod
    def __call__(self, batch: TokenBatch[Array]) -> Outputs:
        """Run one batch."""

    def run_many(self, batches: Iterable[tuple[K, TokenBatch[Array]]]) -> Iterator[tuple[K, Outputs]]:
        """Run the batches in their order."""
        for key, batch in batches:
            yield key, self(batch)

    def release(self) -> None:  # noqa: B027 - may be overridden, need not be
        """There is nothing that a collector would not free."""


def as_float32(name: str, array: Array) -> NDArray[np.float32]:
    """Return a weight in single precision, without a copy if it is.

    Raises `CheckpointError` for a tensor that does not hold floating-point numbers: one of a quantised model,
    say, whose numbers mean nothing without their scales. Also for NaN and infinity, except in large tensors.
    """
    if not np.issubdtype(array.dtype, np.floating):
        raise CheckpointError(
            f"Tensor '{name}' holds numbers of type {array.dtype}, not floating-point ones; "
            "models that were quantised are not supported."
        )
    single = array.astype(np.float32, copy=False)
    if single.nbytes <= _CHECKED_BYTES:
        check_finite(name, single)
    return single


def check_finite(name: str, array: Array) -> None:
    """Raise `CheckpointError` if a tensor holds NaN or infinity."""
    if not is_finite(array) and (wrong := np.argwhere(~np.isfinite(array))).size:
        where = "".join(f"[{i}]" for i in wrong[0])
        raise CheckpointError(
            f"Tensor '{name}' holds {array[tuple(wrong[0])]} at {where or 'its only place'}"
            f" ({len(wrong):,} of {array.size:,} numbers are NaN or infinite). The training that made it went"
            " wrong, or the file is damaged: get another copy, or an earlier checkpoint."
        )


def is_finite(array: Array) -> bool:
    """Return whether a sum shows that no number is NaN or infinite; half the time of looking at each."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()))


def check_outputs(outputs: Outputs, weights: Mapping[str, Array]) -> Outputs:
    """Return the outputs of a run.

    Raises `CheckpointError` if one of them is NaN or infinite, naming the tensor at fault: large tables of
    embeddings are not read when a model is opened, so what is wrong with a row shows when it is used.
    """
    wrong = [name for name, value in outputs.items() if not is_finite(value) and not np.isfinite(value).all()]
    if wrong:
        for name in weights:
            if np.issubdtype(weights[name].dtype, np.floating):
                check_finite(name, weights[name])
        raise CheckpointError(
            f"The model's {', '.join(sorted(wrong))} are NaN or infinite, though all of its weights are"
            " finite: their size goes beyond single precision. Use another checkpoint."
        )
    return outputs


def gathered(program: Program, kept: Mapping[str, V], outputs: Mapping[str, V]) -> dict[str, V]:
    """Join the taps that a run kept and its outputs; `InputError` if a tap was never come by."""
    unknown = program.taps - kept.keys()
    if unknown:
        raise InputError(
            f"The model computes no value named {', '.join(map(repr, sorted(unknown)))} on the way to "
            f"{', '.join(sorted(outputs)) or 'no output'}; `Model.every_value` gives all names."
        )
    return {**kept, **outputs}


class Executor(Protocol):
    """Runs programs over one set of weights."""

    def compile(self, program: Program) -> Compiled:
        """Prepare a program."""
        ...
