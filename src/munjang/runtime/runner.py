"""Running programs over many texts: compiles once per program, packs batches and yields results."""

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
from munjang.models.batch import TokenBatch
from munjang.models.program import Program
from munjang.runtime.batches import Layout, TokenIdsLike, check_lengths, pack, plan
from munjang.validation import checked_count

__all__ = ["DEFAULT_TOKEN_BUDGET", "BatchEdit", "Done", "Runner"]

_SINGLE_CALLS = 4  # number of single-request calls before a second compilation for them
DEFAULT_TOKEN_BUDGET = 512  # cost per token is the same from 256 to 1,024; smaller requests balance better


@dataclass(frozen=True, slots=True)
class Done:
    """One finished request: the indices and lengths of its texts, and its outputs.

    ``indices[k]`` is the index in the caller's list of the request's k-th text, of ``lengths[k]`` tokens.
    """

    indices: list[int]
    lengths: NDArray[np.int32]
    outputs: Outputs

    def split(self, name: str) -> list[NDArray[np.float32]]:
        """Split an output that has a row per token into one array per text."""
        return np.split(self.outputs[name], np.cumsum(self.lengths)[:-1])


# A function that changes a packed batch before it runs (its rows or pooling weights), given the indices of
# its texts in the caller's list.
BatchEdit = Callable[[TokenBatch[NDArray[Any]], Sequence[int]], TokenBatch[NDArray[Any]]]


_GRACE = 5.0  # seconds after which no engine thread is still finishing a request
_retired: list[tuple[float, list[Compiled]]] = []


def _retire(compiled: dict[tuple[int, Program, bool], Compiled]) -> None:
    """Release the programs of deleted runners after they have been idle for long enough."""
    now = time.monotonic()
    _retired.append((now, list(compiled.values())))
    while _retired and now - _retired[0][0] >= _GRACE:
        for program in _retired.pop(0)[1]:
            program.release()


class Runner:
    """A runner of programs over token ids with one executor.

    Args:
        executor: the executor that computes.
        layout: the model's limits.
        token_budget: tokens per request; more tokens use more memory, fewer have more overhead per request.
        streams: the number of requests that the executor runs in parallel.
        all_cores: a function that creates an executor that uses all cores for one request.
        weights: the weights to search for NaN when outputs hold NaN.
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
        """Compile a program, or return it from the cache of compiled programs."""
        return self._get(program, all_cores=False)

    def _get(self, program: Program, *, all_cores: bool) -> Compiled:
        # A compiled program's threads do not exist in a forked process, which would wait for them (deadlock).
        key = (os.getpid(), program, all_cores)
        with self._lock:
            if key not in self._compiled:
                executor = self._all_cores() if all_cores and self._all_cores else self.executor
                self._compiled[key] = executor.compile(program)
            return self._compiled[key]

    @contextmanager
    def _fitting(self, program: Program, requests: int) -> Iterator[Compiled]:
        """Yield the compiled program that is fastest for this number of requests.

        Requests run in parallel, with one core each. A single request would leave the other cores idle: after
        repeated single-request calls, the program is compiled again, with all cores for one request.
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
        """Run a program over texts; yield requests as they finish, in no fixed order.

        Raises `InputError` if a text is empty or longer than the model takes.
        """
        budget = checked_count("token_budget", self.token_budget if token_budget is None else token_budget)
        if not texts:
            return
        lengths = np.array([len(text.input_ids) for text in texts], dtype=np.int32)
        check_lengths(lengths, self.layout)  # here, because the index is still the caller's
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
        """Run a program on one packed batch, unchanged."""
        return check_outputs(self.compiled(program)(batch), self._weights)

    def session(self, program: Program) -> Callable[[TokenBatch[NDArray[Any]]], Outputs]:
        """Return a function that runs successive batches and caches keys and values between them."""
        step = self.compiled(program).session()
        return lambda batch: check_outputs(step(batch), self._weights)
