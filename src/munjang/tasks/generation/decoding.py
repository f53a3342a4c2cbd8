"""Generation, token by token, in a session that caches keys and values.

The prompts are read in one step, packed, without padding; then each step reads one token per text. Only the
last token of each text reaches the vocabulary head. A finished text costs only its cells in the attention.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.backends.executor import Outputs
from munjang.models.batch import TokenBatch
from munjang.models.program import LOGITS
from munjang.runtime.runner import MASKED
from munjang.tasks.generation.sampling import Sampling
from munjang.tasks.generation.streaming import StopStrings, TextStream

Array = NDArray[Any]


class Session:
    """B texts that are read on step by step: ids in, scores of the next tokens out.

    Args:
        step: a function of `Compiled.session`, fresh.
        copies: how often each prompt of the first step is written on; it is read only once.
    """

    def __init__(self, step: Callable[[TokenBatch[Array]], Outputs], *, copies: int = 1) -> None:
        self._step = step
        self._copies = copies
        self._seen: NDArray[np.bool_] | None = None  # [B, P]: which cells of the past hold a token

    def read(self, texts: Sequence[Sequence[int]], *, every_token: bool = False) -> NDArray[np.float32]:
        """Read the next ids of each text; none for finished texts.

        Returns scores ``[n, V]``: after the last new token of each text with new tokens (the copies of a
        text are consecutive), or with ``every_token`` after each new token.
        """
        first = self._seen is None
        seen = np.zeros((len(texts), 0), dtype=np.bool_) if self._seen is None else self._seen
        lengths = np.array([len(text) for text in texts], dtype=np.int32)
        is_token = np.arange(lengths.max()) < lengths[:, None]  # [B, L]
        copies = self._copies if first else 1
        logits = self._step(_batch(texts, lengths, is_token, seen, copies, every_token))[LOGITS]
        self._seen = np.concatenate([seen, is_token], axis=1).repeat(copies, axis=0)
        return logits.repeat(copies, axis=0)


def _batch(
    texts: Sequence[Sequence[int]],
    lengths: NDArray[np.int32],
    is_token: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    copies: int,
    every_token: bool,
) -> TokenBatch[Array]:
    """Pack the new tokens of each text; the copies of a text share its packed rows."""
    ids = np.concatenate([np.asarray(text, dtype=np.int32) for text in texts])
    ends = np.cumsum(lengths, dtype=np.int32)
    columns = np.arange(is_token.shape[1], dtype=np.int32)
    positions = seen.sum(axis=1, dtype=np.int32)[:, None] + columns
    new = (columns <= columns[:, None]) & is_token[:, None, :]  # [B, L, L]
    past = np.broadcast_to(seen[:, None, :], (*is_token.shape, seen.shape[1]))  # [B, L, P]
    bias = np.where(np.concatenate([past, new], axis=2), np.float32(0), MASKED)[:, None]
    pad_index = np.where(is_token, (ends - lengths)[:, None] + columns, 0).astype(np.int32)
    # The context of the first copy is taken; the others' are equal to it.
    unpad_index = np.flatnonzero(is_token.repeat(copies, axis=0) & _first_of(copies, len(texts)))
    every_row = np.arange(len(ids), dtype=np.int32)
    return TokenBatch(
        input_ids=ids,
        position_ids=positions[is_token],
        token_type_ids=np.zeros_like(ids),
        pad_index=pad_index.repeat(copies, axis=0),
        attention_bias=bias.repeat(copies, axis=0),
        unpad_index=unpad_index.astype(np.int32),
        rows=every_row if every_token else (ends - 1)[lengths > 0],
        pool_weights=np.zeros((len(texts) * copies, 1, is_token.shape[1]), dtype=np.float32),
    )


def _first_of(copies: int, texts: int) -> NDArray[np.bool_]:
    first: NDArray[np.bool_] = np.arange(texts * copies) % copies == 0
    return first[:, None]


class Writer:
    """One text in generation: its ids, and the text after its prompt.

    Args:
        prompt: ids to start from.
        limit: the maximum number of ids, the prompt's included.
        ends: tokens that end the text; they are not part of it.
        stream: decodes tokens to text; without it the text is empty, for callers that need the ids only.
        stops: strings that end the text; they are not part of it.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        *,
        limit: int,
        ends: Collection[int],
        stream: TextStream | None = None,
        stops: Sequence[str] = (),
    ) -> None:
        self.ids = list(prompt)
        self.done = False
        self._limit = limit
        self._ends = ends
        self._stream = stream
        self._stops = StopStrings(stops)

    def add(self, token: int) -> str:
        """Write a token; return the text that is certain now."""
        self.ids.append(token)
        if token in self._ends:
            return self._finish()
        text, self.done = self._stops.add("" if self._stream is None else self._stream.add(token))
        if not self.done and len(self.ids) >= self._limit:
            text += self._finish()
        return text

    def _finish(self) -> str:
        self.done = True
        text, stopped = self._stops.add("" if self._stream is None else self._stream.finish())
        return text if stopped else text + self._stops.rest()


def write(
    session: Session,
    prompts: Sequence[Sequence[int]],
    writers: Sequence[Writer],
    sampling: Sampling,
    generators: Sequence[np.random.Generator],
) -> Iterator[tuple[int, str]]:
    """Write all texts to their ends; yield pieces of text with their writer's number as they are certain.

    ``writers`` are as many as the prompts times the session's copies.
    """
    logits = session.read(prompts)
    live = list(range(len(writers)))
    while live:
        texts = [writers[i].ids for i in live]
        chosen = sampling.choose(logits, texts, [generators[i] for i in live])
        for i, token in zip(live, chosen, strict=True):
            yield i, writers[i].add(token)
        live = [i for i in live if not writers[i].done]
        if live:
            logits = session.read([[] if writer.done else writer.ids[-1:] for writer in writers])
