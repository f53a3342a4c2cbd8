"""Running programs over many texts: texts are packed into batches, and each program is compiled once."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.backends.executor import Array, Compiled, Executor, Outputs, check_outputs
from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.models.program import Program
from munjang.progress import Advance, no_advance
from munjang.validation import checked_count

T = TypeVar("T")
Ints = NDArray[np.int32]
MASKED = np.float32(-1e9)  # added to an attention score, it makes the probability exactly zero
_FEWEST_TOKENS = 64  # with fewer tokens, distribution over cores costs more time than it saves
_SINGLE_CALLS = 4  # number of single-request calls before a second compilation for them
DEFAULT_TOKEN_BUDGET = 512  # cost per token is the same from 256 to 1,024; smaller requests balance better


class TokenIdsLike(Protocol):
    """The tokens of one text; ``token_type_ids`` is ``None`` if all are zero."""

    @property
    def input_ids(self) -> Sequence[int]:
        """The ids of the pieces, special tokens included."""
        ...

    @property
    def token_type_ids(self) -> Sequence[int] | None:
        """The text of a pair (0 or 1) of each token."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """The model's properties that packing needs: its limits and its position numbering."""

    vocab_size: int
    type_vocab_size: int
    max_length: int
    position_offset: int
    pad_token_id: int
    causal: bool = False

    @classmethod
    def of(cls, config: EncoderConfig) -> Layout:
        """Create the layout from a model's config."""
        return cls(
            vocab_size=config.vocab_size,
            type_vocab_size=config.type_vocab_size,
            max_length=config.max_length,
            position_offset=config.position_offset,
            pad_token_id=config.pad_token_id,
            causal=config.causal,
        )


LANES = 16  # float32 numbers in a vector register of AVX-512; also a multiple of smaller registers


def plan(lengths: Sequence[int], *, token_budget: int, streams: int) -> list[list[int]]:
    """Distribute texts over requests: similar lengths together, about ``token_budget`` tokens per request.

    Returns the indices of the texts in each request, longest texts first, so that the last requests, which
    determine when the slowest core finishes, are short. Small calls are split so that every stream has work.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    total = sum(lengths)
    requests = -(-total // token_budget)
    if requests % streams and total >= streams * _FEWEST_TOKENS:
        requests += streams - requests % streams
        token_budget = -(-total // requests)
    groups: list[list[int]] = []
    used = 0
    for i in order:
        if not groups or used + lengths[i] > token_budget:
            groups.append([])
            used = 0
        groups[-1].append(i)
        used += lengths[i]
    return groups


def deduplicate(
    items: Sequence[T], key: Callable[[T], Hashable] = lambda item: item
) -> tuple[list[T], NDArray[np.intp]]:
    """Return the items without duplicates, and for each item its index among them."""
    indices: dict[Hashable, int] = {}
    different: list[T] = []
    inverse = np.empty(len(items), dtype=np.intp)
    for position, item in enumerate(items):
        inverse[position] = index = indices.setdefault(key(item), len(different))
        if index == len(different):
            different.append(item)
    return different, inverse


def token_key(text: TokenIdsLike) -> Hashable:
    """Return a key for `deduplicate`: equal for texts with the same tokens and token types."""
    types = text.token_type_ids
    return tuple(text.input_ids), None if types is None else tuple(types)


def pack(texts: Sequence[TokenIdsLike], layout: Layout, *, multiple: int = 1) -> TokenBatch[NDArray[Any]]:
    """Pack texts without padding; ``rows`` has each text's first token, ``pool_weights`` are for the mean.

    ``multiple`` is that of `pack_arrays`.

    Raises `InputError` if a text has no tokens, or more than the model's maximum.
    """
    lengths = np.fromiter((len(text.input_ids) for text in texts), dtype=np.int32, count=len(texts))
    check_lengths(lengths, layout)
    total = int(lengths.sum())
    ids = np.fromiter(chain.from_iterable(text.input_ids for text in texts), dtype=np.int64, count=total)
    input_ids = _checked_ids("Token id", ids, layout.vocab_size)
    return pack_arrays(
        input_ids,
        _token_types(texts, lengths, layout),
        _positions(input_ids, lengths, layout),
        lengths,
        causal=layout.causal,
        multiple=multiple,
    )


def pack_arrays(
    input_ids: Ints,
    token_type_ids: Ints,
    position_ids: Ints,
    lengths: Ints,
    *,
    causal: bool = False,
    multiple: int = 1,
) -> TokenBatch[NDArray[Any]]:
    """Create the index arrays for texts whose tokens are already concatenated.

    The padded view has a ``multiple`` of cells. With `LANES` the sums over a text's cells are taken in the
    same order for every length of the other texts, so that no bit of a result depends on the batch.
    """
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    columns = np.arange(-(-int(lengths.max()) // multiple) * multiple, dtype=np.int32)
    is_token = columns < lengths[:, None]  # [B, L]
    seen = is_token[:, None, None, :]  # [B, 1, 1, L]
    if causal:
        seen = seen & (columns <= columns[:, None])  # [B, 1, L, L]: the causal mask
    return TokenBatch(
        input_ids=input_ids,
        position_ids=position_ids,
        token_type_ids=token_type_ids,
        pad_index=np.where(is_token, starts[:, None] + columns, 0).astype(np.int32),
        attention_bias=np.where(seen, np.float32(0), MASKED),
        unpad_index=np.flatnonzero(is_token).astype(np.int32),
        rows=starts,
        pool_weights=(is_token / lengths[:, None]).astype(np.float32)[:, None, :],
    )


def unpad(
    input_ids: NDArray[np.integer],
    attention_mask: NDArray[np.integer],
    token_type_ids: NDArray[np.integer],
    layout: Layout,
    *,
    multiple: int = 1,
) -> TokenBatch[NDArray[Any]]:
    """Pack the padded arrays ``[B, L]`` of a tokenizer without the masked tokens.

    Positions are the same as in the padded arrays, so masked tokens in the middle leave a gap, as in the
    published implementations. ``multiple`` is that of `pack_arrays`. Raises `InputError` if all tokens of a
    text are masked.
    """
    kept = attention_mask != 0
    lengths = kept.sum(axis=1, dtype=np.int32)
    check_lengths(lengths, layout)
    columns = np.broadcast_to(np.arange(input_ids.shape[1], dtype=np.int32), input_ids.shape)
    positions = columns
    if layout.position_offset:
        positions = _positions_from_padding(input_ids, layout)
    token_types = np.zeros(int(lengths.sum()), dtype=np.int32)
    if layout.type_vocab_size > 1:
        token_types = _checked_ids("Token type", token_type_ids[kept], layout.type_vocab_size)
    return pack_arrays(
        _checked_ids("Token id", input_ids[kept], layout.vocab_size),
        token_types,
        _checked_ids("Position", positions[kept], layout.max_length + layout.position_offset),
        lengths,
        causal=layout.causal,
        multiple=multiple,
    )


def check_lengths(lengths: Ints, layout: Layout) -> None:
    """Raise `InputError` if there is no text, or, with its index, for an empty or too long text."""
    if not len(lengths):
        raise InputError("There is no text to run the model on.")
    if lengths.min() == 0:
        raise InputError(f"Text {int(lengths.argmin())} has no tokens, or all are masked.")
    if lengths.max() > layout.max_length:
        raise InputError(
            f"Text {int(lengths.argmax())} has {lengths.max()} tokens, the model takes {layout.max_length} "
            "at most; tokenize it with truncation=True."
        )


def _checked_ids(what: str, ids: NDArray[np.integer], limit: int) -> Ints:
    if len(ids) and (ids.min() < 0 or ids.max() >= limit):
        wrong = ids.min() if ids.min() < 0 else ids.max()
        raise InputError(f"{what} {wrong} is outside the model's range of 0 to {limit - 1}.")
    return ids.astype(np.int32)


def _token_types(texts: Sequence[TokenIdsLike], lengths: Ints, layout: Layout) -> Ints:
    token_types = np.zeros(int(lengths.sum()), dtype=np.int32)
    if layout.type_vocab_size <= 1:  # as in RoBERTa: no separate type for a pair's second text
        return token_types
    start = 0
    for text, length in zip(texts, lengths, strict=True):
        if text.token_type_ids is not None:
            token_types[start : start + length] = text.token_type_ids
        start += length
    return _checked_ids("Token type", token_types, layout.type_vocab_size)


def _positions(input_ids: Ints, lengths: Ints, layout: Layout) -> Ints:
    starts = np.cumsum(lengths) - lengths
    if not layout.position_offset:
        return (np.arange(len(input_ids)) - np.repeat(starts, lengths)).astype(np.int32)
    counted = input_ids != layout.pad_token_id  # a padding token inside a text has the padding position
    running = np.cumsum(counted)
    before = (running - counted)[starts]
    positions: Ints = (running - np.repeat(before, lengths)) * counted + layout.pad_token_id
    return positions.astype(np.int32)


def _positions_from_padding(input_ids: NDArray[np.integer], layout: Layout) -> Ints:
    counted = input_ids != layout.pad_token_id
    positions: Ints = (np.cumsum(counted, axis=1) * counted + layout.pad_token_id).astype(np.int32)
    return positions


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
                batch = pack([texts[i] for i in indices], self.layout, multiple=LANES)
                yield number, edit(batch, indices) if edit else batch

        with self._fitting(program, len(groups)) as compiled:
            for number, outputs in compiled.run_many(batches()):
                indices = groups[number]
                yield Done(indices, lengths[indices], check_outputs(outputs, self._weights))

    def rows(
        self,
        program: Program,
        texts: Sequence[TokenIdsLike],
        shape: tuple[str, int],
        *,
        token_budget: int | None = None,
        edit: BatchEdit | None = None,
        advance: Advance = no_advance,
    ) -> NDArray[np.float32]:
        """Run a program over texts and return one output with one row per text: ``[n, width]``.

        ``shape`` is the output's name and width; ``advance`` is called with the number of texts done.
        Equal texts run once, unless an ``edit`` may distinguish them.
        """
        name, width = shape
        different, inverse = (texts, None) if edit else deduplicate(texts, token_key)
        rows = np.empty((len(different), width), dtype=np.float32)
        for done in self.run(program, different, token_budget=token_budget, edit=edit):
            rows[done.indices] = done.outputs[name]
            advance(len(done.indices))
        if inverse is None:
            return rows
        advance(len(texts) - len(different))
        return rows[inverse]

    def run_batch(self, program: Program, batch: TokenBatch[NDArray[Any]]) -> Outputs:
        """Run a program on one packed batch, unchanged."""
        return check_outputs(self.compiled(program)(batch), self._weights)

    def session(self, program: Program) -> Callable[[TokenBatch[NDArray[Any]]], Outputs]:
        """Return a function that runs successive batches and caches keys and values between them."""
        step = self.compiled(program).session()
        return lambda batch: check_outputs(step(batch), self._weights)
