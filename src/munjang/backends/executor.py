"""The interface of executors for the runtime, and checks of weights and outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.errors import CheckpointError, InputError
from munjang.models.batch import TokenBatch
from munjang.models.program import Program

Array = NDArray[Any]
Outputs = dict[str, NDArray[np.float32]]
_CHECKED_BYTES = 2**24  # includes the layers' matrices; embedding tables are larger and only partly read
K = TypeVar("K")
V = TypeVar("V")


class Compiled(Protocol):
    """A program ready to run on this machine."""

    def __call__(self, batch: TokenBatch[Array]) -> Outputs:
        """Run one batch."""
        ...

    def session(self) -> Callable[[TokenBatch[Array]], Outputs]:
        """Return a function that runs successive batches and caches keys and values between them."""
        ...

    def run_many(self, batches: Iterable[tuple[K, TokenBatch[Array]]]) -> Iterator[tuple[K, Outputs]]:
        """Run batches of an iterator, several at a time; yield each result with its key when it is ready."""
        ...

    def release(self) -> None:
        """Free resources that garbage collection does not free; the program must not be in use."""
        ...


class OneByOne(ABC):
    """`Compiled` for an executor that uses all cores for one batch."""

    @abstractmethod
    def __call__(self, batch: TokenBatch[Array]) -> Outputs:
        """Run one batch."""

    def run_many(self, batches: Iterable[tuple[K, TokenBatch[Array]]]) -> Iterator[tuple[K, Outputs]]:
        """Run the batches in order."""
        for key, batch in batches:
            yield key, self(batch)

    def release(self) -> None:  # noqa: B027 - overriding is optional
        """Do nothing: garbage collection frees everything."""


def as_float32(name: str, array: Array) -> NDArray[np.float32]:
    """Return a weight as float32, without a copy if it is float32 already.

    Raises `CheckpointError` for a tensor that is not floating-point, for example of a quantised model, whose
    values are meaningless without their scales. Also for NaN and infinity, except in large tensors.
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
    """Return whether the sum shows that no value is NaN or infinite; half the time of a check per value."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()))


def check_outputs(outputs: Outputs, weights: Mapping[str, Array]) -> Outputs:
    """Return the outputs of a run after a check.

    Raises `CheckpointError` if an output holds NaN or infinity, naming the tensor that caused it: large
    tables of embeddings are not read when a model is opened, so an invalid row is found only when it is used.
    """
    wrong = [name for name, value in outputs.items() if not is_finite(value) and not np.isfinite(value).all()]
    if wrong:
        for name in weights:
            if np.issubdtype(weights[name].dtype, np.floating):
                check_finite(name, weights[name])
        raise CheckpointError(
            f"The model's {', '.join(sorted(wrong))} are NaN or infinite, though all of its weights are"
            " finite: their values overflow single precision. Use another checkpoint."
        )
    return outputs


def gathered(program: Program, kept: Mapping[str, V], outputs: Mapping[str, V]) -> dict[str, V]:
    """Return the kept taps and the outputs of a run in one dict; `InputError` for a tap not found."""
    unknown = program.taps - kept.keys()
    if unknown:
        raise InputError(
            f"The model computes no value named {', '.join(map(repr, sorted(unknown)))} on the way to "
            f"{', '.join(sorted(outputs)) or 'no output'}; `Model.every_value` gives all names."
        )
    return {**kept, **outputs}


class Executor(ABC):
    """An executor of programs over one set of weights."""

    streams: int = 1
    """The number of batches that run in parallel, each on its share of the cores."""

    @abstractmethod
    def compile(self, program: Program) -> Compiled:
        """Compile a program."""

    def for_sessions(self, *, eight_bit: bool = False) -> Executor:
        """Return an executor over the same weights with all cores for one batch, optionally in 8 bits.

        Raises `InputError` if this executor has no 8-bit weights.
        """
        if eight_bit:
            raise InputError("Weights in 8 bits need the backend 'openvino'; open the model with it.")
        return self
