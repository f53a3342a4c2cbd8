"""Runs programs over many texts: compiles once per program, packs, and gives results back."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.backends.executor import Array, Compiled, Executor, Outputs, check_outputs
from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.program import Program
from munjang.runtime.batches import Layout, TokenIdsLike, check_lengths, pack, plan

__all__ = ["DEFAULT_TOKEN_BUDGET", "BatchEdit", "Done", "Runner"]

_SINGLE_CALLS = 4  # that come alone, before it is worth compiling for them
DEFAULT_TOKEN_BUDGET = 512  # from 256 to 1,024 a token costs the same; smaller requests end more evenly


@dataclass(frozen=True, slots=True)
class Done:
    """One finished request: which texts it held, how long they are, and what came out.

    ``indices[k]`` is the place in the caller's list of the request's k-th text, of ``lengths[k]`` tokens.
    """

    indices: list[int]
    lengths: NDArray[np.int32]
    outputs: Outputs

    def split(self, name: str) -> list[NDArray[np.float32]]:
        """Cut an output that has a row per token into one array per text."""
        return np.split(self.outputs[name], np.cumsum(self.lengths)[:-1])


# Changes a packed batch before it runs (its rows or pooling weights), given the places of its
# texts in the caller's list.
BatchEdit = Callable[[TokenBatch[NDArray[Any]], Sequence[int]], TokenBatch[NDArray[Any]]]


_GRACE = 5.0  # seconds after which no thread of an engine is still on its way out of a request
_retired: list[tuple[float, list[Compiled]]] = []


def _retire(compiled: dict[tuple[int, Program, bool], Compiled]) -> None:
    """Release the programs of runners that are gone, when they have been idle for long enough."""
    now = time.monotonic()
    _retired.append((now, list(compiled.values())))
    while _retired and now - _retired[0][0] >= _GRACE:
        for program in _retired.pop(0)[1]:
            program.release()


class Runner:
    """Runs programs over token ids with one executor.

    Args:
        executor: where to compute.
        layout: the model's limits.
        token_budget: tokens per request; more use more memory, fewer pay more often for starting a request.
        streams: how many requests the executor runs side by side.
        all_cores: makes an executor that gives one request every core.
        weights: searched for NaN when outputs hold it.
    """

    def __init__(
        self,
        executor: Executor,
        layout: Layout,
        *,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        streams: int = 1,
        all_cores: Callable[[], Executor] | None = None,
        weights: Mapping[str, Array] | None = None,
    ) -> None:
        self.executor = executor
        self.layout = layout
        self.token_budget = token_budget
        self.streams = streams
        self._weights = weights or {}
        self._compiled: dict[tuple[int, Program, bool], Compiled] = {}
        self._lock = threading.Lock()
        self._all_cores = None if streams == 1 or all_cores is None else cache(all_cores)
        self._single_calls: Counter[Program] = Counter()
        self._running = 0
        weakref.finalize(self, _retire, self._compiled).atexit = False

    def compiled(self, program: Program) -> Compiled:
        """Compile a program, or return the one compiled before."""
        return self._get(program, all_cores=False)

    def _get(self, program: Program, *, all_cores: bool) -> Compiled:
        # The threads of a compiled program do not live on in a forked process, which would wait for them.
        key = (os.getpid(), program, all_cores)
        with self._lock:
            if key not in self._compiled:
                executor = self._all_cores() if all_cores and self._all_cores else self.executor
                self._compiled[key] = executor.compile(program)
            return self._compiled[key]

    @contextmanager
    def _fitting(self, program: Program, requests: int) -> Iterator[Compiled]:
        """Lend the program as it is best for so many requests.

        Requests run side by side, a core for each. One that comes alone would leave the others idle: when
        such calls keep coming, the program is compiled once more, with every core for one request.
        """
        with self._lock:
            self._running += 1
            alone = requests == 1 and self._all_cores is not None and self._running == 1
            if alone:
                self._single_calls[program] += 1
            alone = alone and self._single_calls[program] > _SINGLE_CALLS
        try:
            yield self._get(program, all_cores=alone)
        finally:
            with self._lock:
                self._running -= 1

    def run(
        self,
        program: Program,
        texts: Sequence[TokenIdsLike],
        *,
        token_budget: int | None = None,
        edit: BatchEdit | None = None,
    ) -> Iterator[Done]:
        """Run a program over texts; requests are given as they finish, in no certain order.

        Raises `InputError` if a text is empty or longer than the model takes.
        """
        budget = self.token_budget if token_budget is None else token_budget
        if budget < 1:
            raise InputError(f"token_budget must be at least 1, got {budget}.")
        if not texts:
            return
        lengths = np.array([len(text.input_ids) for text in texts], dtype=np.int32)
        check_lengths(lengths, self.layout)  # here, where a text's place is the caller's
        groups = plan(lengths.tolist(), token_budget=budget, streams=self.streams)

        def batches() -> Iterator[tuple[int, TokenBatch[NDArray[Any]]]]:
            for number, indices in enumerate(groups):
                batch = pack([texts[i] for i in indices], self.layout)
                yield number, edit(batch, indices) if edit else batch

        with self._fitting(program, len(groups)) as compiled:
            for number, outputs in compiled.run_many(batches()):
                indices = groups[number]
                yield Done(indices, lengths[indices], check_outputs(outputs, self._weights))

    def run_batch(self, program: Program, batch: TokenBatch[NDArray[Any]]) -> Outputs:
        """Run a program on one packed batch, as it is."""
        return check_outputs(self.compiled(program)(batch), self._weights)

    def session(self, program: Program) -> Callable[[TokenBatch[NDArray[Any]]], Outputs]:
        """Return a function that runs batch after batch, where attention remembers what came before."""
        step = self.compiled(program).session()
        return lambda batch: check_outputs(step(batch), self._weights)
