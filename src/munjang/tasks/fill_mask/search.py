"""Filling masks one after another: texts with masks, the model's probabilities at them, and a beam search."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from munjang.models.batch import TokenBatch
from munjang.models.program import LOGITS
from munjang.runtime.model import Model

__all__ = ["Choice", "Filled", "MaskedText", "Query", "fill_with", "log_probabilities", "search"]

LogProbabilities = NDArray[np.float32]


class Query(NamedTuple):
    """One way through the model: tokens, and the one row whose prediction is wanted."""

    input_ids: tuple[int, ...]
    token_type_ids: tuple[int, ...] | None
    row: int


@dataclass(frozen=True, slots=True)
class MaskedText:
    """A text with its tokens; ``masks`` are their places among them, ``spans`` those in the text."""

    text: str
    input_ids: tuple[int, ...]
    token_type_ids: tuple[int, ...]
    masks: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    def query(self, tokens: Sequence[int]) -> Query:
        """Fill the first masks with tokens and ask for the next one."""
        ids = list(self.input_ids)
        for place, token in zip(self.masks, tokens, strict=False):
            ids[place] = token
        return Query(tuple(ids), self.token_type_ids, self.masks[len(tokens)])

    def widened(self, masks: int) -> MaskedText:
        """Put several masks in the place of the only one."""
        if masks == 1:
            return self
        place = self.masks[0]

        def repeated(row: tuple[int, ...]) -> tuple[int, ...]:
            return row[:place] + row[place : place + 1] * masks + row[place + 1 :]

        return replace(
            self,
            input_ids=repeated(self.input_ids),
            token_type_ids=repeated(self.token_type_ids),
            masks=tuple(range(place, place + masks)),
        )


@dataclass(frozen=True, slots=True)
class Filled:
    """Tokens for the first masks of a text, from left to right, each with its log-probability.

    ``withheld`` is, for each, the probability of the pieces that are never offered.
    """

    tokens: tuple[int, ...] = ()
    log_probabilities: tuple[float, ...] = ()
    withheld: tuple[float, ...] = ()

    @property
    def total(self) -> float:
        """The log-probability of all of them together, by the chain rule."""
        return math.fsum(self.log_probabilities)

    def extended(self, token: int, log_probability: float, withheld: float) -> Filled:
        """Fill one mask more."""
        return Filled(
            (*self.tokens, token),
            (*self.log_probabilities, log_probability),
            (*self.withheld, withheld),
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tokens may fill a mask: ``allowed`` is ``[vocab_size]``, ``accept`` a test of each beside it."""

    allowed: NDArray[np.bool_]
    accept: Callable[[int], bool] | None = None

    def best(self, scores: LogProbabilities, count: int) -> list[int]:
        """Return the likeliest tokens, best first; of equals, that with the lower id."""
        ids = np.flatnonzero(self.allowed)
        if self.accept is None and count < len(ids):
            # Only what is as good as the last one wanted needs sorting.
            least = np.partition(scores[ids], len(ids) - count)[len(ids) - count]
            ids = ids[scores[ids] >= least]
        ordered = ids[np.argsort(-scores[ids], kind="stable")].tolist()
        wanted = min(count, len(ordered))
        return list(islice((i for i in ordered if self.accept is None or self.accept(i)), wanted))


def log_probabilities(model: Model, queries: Sequence[Query]) -> Iterator[tuple[int, LogProbabilities]]:
    """Yield each query's place and log-probabilities ``[vocab_size]``, as they are ready.

    Only the rows asked for go through the last layer's feed-forward and the vocabulary head.
    """

    def choose_rows(batch: TokenBatch[NDArray[Any]], places: Sequence[int]) -> TokenBatch[NDArray[Any]]:
        inside = np.array([queries[place].row for place in places], dtype=np.int32)
        return replace(batch, rows=batch.rows + inside)  # which were the first rows of the texts

    for done in model.runner.run(model.program(frozenset({LOGITS})), queries, edit=choose_rows):
        for place, logits in zip(done.indices, done.outputs[LOGITS], strict=True):
            shifted = logits - logits.max()
            yield place, shifted - np.log(np.exp(shifted).sum(dtype=np.float64)).astype(np.float32)


def search(
    model: Model,
    texts: Sequence[MaskedText],
    choices: Sequence[Choice],
    offered: NDArray[np.bool_],
    width: int,
) -> list[list[Filled]]:
    """Find the likeliest fills of all masks of each text: a beam search from left to right.

    At each mask, ``width`` fills of the masks before it are kept. The texts go side by side, in one call of
    the engine per mask. Results are sorted, best first.
    """
    beams = [[Filled()] for _ in texts]
    for mask in range(max((len(text.masks) for text in texts), default=0)):
        open_texts = [i for i, text in enumerate(texts) if len(text.masks) > mask]
        jobs = [(i, filled) for i in open_texts for filled in beams[i]]
        grown: dict[int, list[Filled]] = {i: [] for i in open_texts}
        for place, scores in log_probabilities(model, [texts[i].query(f.tokens) for i, f in jobs]):
            i, filled = jobs[place]
            withheld = _held(scores, ~offered)
            for token in choices[i].best(scores, width):
                grown[i].append(filled.extended(token, float(scores[token]), withheld))
        for i, fills in grown.items():
            beams[i] = heapq.nsmallest(width, fills, key=lambda filled: (-filled.total, filled.tokens))
    return beams


def fill_with(
    model: Model, wanted: Sequence[tuple[MaskedText, Sequence[int]]], offered: NDArray[np.bool_]
) -> list[Filled]:
    """Score given tokens for all masks of each text, by the chain rule from left to right, in one run."""
    queries: dict[Query, int] = {}
    steps = [
        [queries.setdefault(text.query(tokens[:n]), len(queries)) for n in range(len(tokens))]
        for text, tokens in wanted
    ]
    askers: list[list[tuple[int, int]]] = [[] for _ in queries]
    for number, places in enumerate(steps):
        for step, place in enumerate(places):
            askers[place].append((number, step))
    found = [[(0.0, 0.0)] * len(places) for places in steps]
    for place, scores in log_probabilities(model, list(queries)):
        withheld = _held(scores, ~offered)
        for number, step in askers[place]:
            found[number][step] = float(scores[wanted[number][1][step]]), withheld
    return [
        Filled(tuple(tokens), *map(tuple, zip(*pairs, strict=True)))
        for (_, tokens), pairs in zip(wanted, found, strict=True)
    ]


def _held(scores: LogProbabilities, pieces: NDArray[np.bool_]) -> float:
    """Return the probability of some pieces together."""
    return float(np.exp(scores[pieces]).sum(dtype=np.float64))
