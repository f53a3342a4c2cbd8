"""What every executor offers the runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, MissingExtraError
from munjang.models.batch import TokenBatch
from munjang.models.program import Program

__all__ = ["BACKENDS", "Array", "Compiled", "Executor", "Outputs", "make_executor"]

Array = NDArray[Any]
Outputs = dict[str, NDArray[np.float32]]
K = TypeVar("K")
BACKENDS = ("openvino", "numpy", "torch")


class Compiled(Protocol):
    """A program ready to run on this machine."""

    def __call__(self, batch: TokenBatch[Array]) -> Outputs:
        """Run one batch."""
        ...

    def session(self) -> Callable[[TokenBatch[Array]], Outputs]:
        """Give a function that runs batch after batch, where attention remembers what came before."""
        ...

    def run_many(self, batches: Iterable[tuple[K, TokenBatch[Array]]]) -> Iterator[tuple[K, Outputs]]:
        """Run batches as they come, some at a time; give each result with its key as it is ready."""
        ...


class Executor(Protocol):
    """Runs programs over one set of weights."""

    def compile(self, program: Program) -> Compiled:
        """Prepare a program."""
        ...


def make_executor(
    backend: str, weights: Mapping[str, Array], *, threads: int | None = None, streams: int | None = None
) -> Executor:
    """Make an executor by name: ``openvino``, ``numpy`` or ``torch``.

    ``threads`` and ``streams`` are OpenVINO's; the others use what NumPy's BLAS or torch are set to.
    Raises `InputError` for an unknown name, `MissingExtraError` if torch is asked for and not installed.
    """
    for name, value in (("threads", threads), ("streams", streams)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}.")
    if backend == "openvino":
        from munjang.backends.openvino import OpenVINOExecutor

        return OpenVINOExecutor(weights, threads=threads, streams=streams)
    if backend == "numpy":
        from munjang.backends.numpy import NumpyExecutor

        return NumpyExecutor(weights)
    if backend == "torch":
        try:
            from munjang.backends.torch import TorchExecutor
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise MissingExtraError(
                "The torch backend needs PyTorch: pip install 'munjang[train]'."
            ) from None
        return TorchExecutor(weights)
    raise InputError(f"Unknown backend '{backend}'; there are {', '.join(BACKENDS)}.")
