"""Search for the fills of masks: texts with masks, the model's probabilities, and a beam search."""

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

LogProbabilities = NDArray[np.float32]


class Query(NamedTuple):
    """An input of the model: tokens, and the row to predict."""

    input_ids: tuple[int, ...]
    token_type_ids: tuple[int, ...] | None
    row: int


@dataclass(frozen=True, slots=True)
class MaskedText:
    """A text with its tokens; ``masks`` are the indices of its masks, ``spans`` their spans in the text."""

    text: str
    input_ids: tuple[int, ...]
    token_type_ids: tuple[int, ...]
    masks: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    def query(self, tokens: Sequence[int]) -> Query:
        """Return the query for the mask after the first masks, which are filled with ``tokens``."""
        ids = list(self.input_ids)
        for index, token in zip(self.masks, tokens, strict=False):
            ids[index] = token
        return Query(tuple(ids), self.token_type_ids, self.masks[len(tokens)])

    def widened(self, masks: int) -> MaskedText:
        """Return the text with its only mask repeated."""
        if masks == 1:
            return self
        index = self.masks[0]

        def repeated(row: tuple[int, ...]) -> tuple[int, ...]:
            return row[:index] + row[index : index + 1] * masks + row[index + 1 :]

        return replace(
            self,
            input_ids=repeated(self.input_ids),
            token_type_ids=repeated(self.token_type_ids),
            masks=tuple(range(index, index + masks)),
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
        """Return the fill with one more mask filled."""
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
            # Only tokens at least as good as the last result need sorting.
            least = np.partition(scores[ids], len(ids) - count)[len(ids) - count]
            ids = ids[scores[ids] >= least]
        ordered = ids[np.argsort(-scores[ids], kind="stable")].tolist()
        wanted = min(count, len(ordered))
        return list(islice((i for i in ordered if self.accept is None or self.accept(i)), wanted))


def log_probabilities(model: Model, queries: Sequence[Query]) -> Iterator[tuple[int, LogProbabilities]]:
    """Yield each query's index and log-probabilities ``[vocab_size]``, in order of completion.

    Only the requested rows go through the last layer's feed-forward and the vocabulary head.
    """

    def choose_rows(batch: TokenBatch[NDArray[Any]], indices: Sequence[int]) -> TokenBatch[NDArray[Any]]:
        inside = np.array([queries[index].row for index in indices], dtype=np.int32)
        return replace(batch, rows=batch.rows + inside)  # before, these were the first rows of the texts

    for done in model.runner.run(model.program(frozenset({LOGITS})), queries, edit=choose_rows):
        for index, logits in zip(done.indices, done.outputs[LOGITS], strict=True):
            shifted = logits - logits.max()
            yield index, shifted - np.log(np.exp(shifted).sum(dtype=np.float64)).astype(np.float32)


def search(
    model: Model,
    texts: Sequence[MaskedText],
    choices: Sequence[Choice],
    offered: NDArray[np.bool_],
    width: int,
) -> list[list[Filled]]:
    """Find the likeliest fills of all masks of each text: a beam search from left to right.

    At each mask, ``width`` fills of the masks before it are kept. All texts are in one call of the engine per
    mask. Results are sorted, best first.
    """
    beams = [[Filled()] for _ in texts]
    for mask in range(max((len(text.masks) for text in texts), default=0)):
        open_texts = [i for i, text in enumerate(texts) if len(text.masks) > mask]
        jobs = [(i, filled) for i in open_texts for filled in beams[i]]
        grown: dict[int, list[Filled]] = {i: [] for i in open_texts}
        for number, scores in log_probabilities(model, [texts[i].query(f.tokens) for i, f in jobs]):
            i, filled = jobs[number]
            withheld = _held(scores, ~offered)
            for token in choices[i].best(scores, width):
                grown[i].append(filled.extended(token, float(scores[token]), withheld))
        for i, fills in grown.items():
            beams[i] = heapq.nsmallest(width, fills, key=lambda filled: (-filled.total, filled.tokens))
    return beams


def fill_with(
    model: Model, wanted: Sequence[tuple[MaskedText, Sequence[int]]], offered: NDArray[np.bool_]
) -> list[Filled]:
    """Score the given tokens of all masks of each text, by the chain rule from left to right, in one run."""
    queries: dict[Query, int] = {}
    steps = [
        [queries.setdefault(text.query(tokens[:n]), len(queries)) for n in range(len(tokens))]
        for text, tokens in wanted
    ]
    askers: list[list[tuple[int, int]]] = [[] for _ in queries]
    for number, indices in enumerate(steps):
        for step, index in enumerate(indices):
            askers[index].append((number, step))
    scored = [[(0.0, 0.0)] * len(indices) for indices in steps]
    for index, scores in log_probabilities(model, list(queries)):
        withheld = _held(scores, ~offered)
        for number, step in askers[index]:
            scored[number][step] = float(scores[wanted[number][1][step]]), withheld
    return [
        Filled(tuple(tokens), *map(tuple, zip(*pairs, strict=True)))
        for (_, tokens), pairs in zip(wanted, scored, strict=True)
    ]


def _held(scores: LogProbabilities, pieces: NDArray[np.bool_]) -> float:
    """Return the probability of some pieces together."""
    return float(np.exp(scores[pieces]).sum(dtype=np.float64))
