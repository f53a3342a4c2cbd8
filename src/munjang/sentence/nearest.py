"""Keeping the best scores while they come by, block after block."""

from __future__ import annotations

from typing import TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from munjang.sentence.similarity import FloatArray

__all__ = ["Best", "Hit", "IndexArray", "Pairs"]

IndexArray: TypeAlias = NDArray[np.int64]


class Hit(TypedDict):
    """One result of a search."""

    corpus_id: int
    score: float


class Best:
    """The best columns of each row among the blocks seen so far: best first, then the lower column."""

    def __init__(self, rows: int, count: int) -> None:
        self.count = count
        self.seen = 0
        self.scores: FloatArray = np.empty((rows, 0), np.float32)
        self.columns: IndexArray = np.empty((rows, 0), np.int64)

    def add(self, scores: FloatArray, first_column: int) -> None:
        """Take in the scores ``[rows, width]`` of the columns from ``first_column`` on."""
        self.seen += scores.shape[1]
        cells = np.flatnonzero(self._promising(scores))
        if not cells.size:
            return
        rows, columns = np.divmod(cells, scores.shape[1])
        new = _left_aligned(rows, scores.ravel()[cells], columns + first_column, len(scores))
        merged_scores = np.hstack([self.scores, new[0]])
        # A stable sort keeps columns in order among equals, since later blocks stand further right.
        order = np.argsort(-merged_scores, axis=1, kind="stable")[:, : min(self.count, self.seen)]
        self.scores = np.take_along_axis(merged_scores, order, axis=1)
        self.columns = np.take_along_axis(np.hstack([self.columns, new[1]]), order, axis=1)

    def _promising(self, scores: FloatArray) -> NDArray[np.bool_]:
        """Mark what may be among the best: nearly nothing once a few blocks have been seen."""
        width = scores.shape[1]
        if self.scores.shape[1] == self.count:
            return scores > self.scores[:, -1:]
        if width <= self.count:
            return np.ones(scores.shape, np.bool_)
        return scores >= np.partition(scores, width - self.count, axis=1)[:, [width - self.count]]

    def hits(self) -> list[list[Hit]]:
        """List the hits of each row."""
        return [
            [{"corpus_id": column, "score": score} for column, score in zip(columns, scores, strict=True)]
            for columns, scores in zip(self.columns.tolist(), self.scores.tolist(), strict=True)
        ]


def _left_aligned(
    rows: IndexArray, scores: FloatArray, columns: IndexArray, count: int
) -> tuple[FloatArray, IndexArray]:
    """Spread values given in order of their rows over a matrix, each row from the left, the rest at -inf."""
    lengths = np.bincount(rows, minlength=count)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    spread_scores = np.full((count, lengths.max()), -np.inf, np.float32)
    spread_columns = np.full(spread_scores.shape, -1, np.int64)
    spread_scores[rows, places] = scores
    spread_columns[rows, places] = columns
    return spread_scores, spread_columns


class Pairs:
    """The best pairs among the neighbours seen so far, each pair once."""

    def __init__(self, vectors: int, limit: int) -> None:
        self.vectors = vectors
        self.limit = limit
        self.lowest = -np.inf  # what a further pair must reach
        self.keys: IndexArray = np.empty(0, np.int64)  # i * vectors + j, best first
        self.scores: FloatArray = np.empty(0, np.float32)
        self.waiting: list[tuple[IndexArray, FloatArray]] = []

    def add(self, best: Best, first_row: int) -> None:
        """Take in the neighbours of the rows from ``first_row`` on."""
        rows = np.arange(first_row, first_row + len(best.columns))[:, None]
        others = best.columns != rows
        # Among many equals a vector may be missing from its own neighbours; then the last one is too many.
        others[others.all(axis=1), -1] = False
        others &= best.scores >= self.lowest
        keys = np.minimum(rows, best.columns) * self.vectors + np.maximum(rows, best.columns)
        self.waiting.append((keys[others], best.scores[others]))
        if sum(len(keys) for keys, _ in self.waiting) > self.limit:
            self._merge()

    def _merge(self) -> None:
        keys = np.concatenate([self.keys, *(keys for keys, _ in self.waiting)])
        scores = np.concatenate([self.scores, *(scores for _, scores in self.waiting)])
        self.waiting.clear()
        keys, first_seen = np.unique(keys, return_index=True)  # a pair is found from both of its ends
        scores = scores[first_seen]
        order = np.argsort(-scores, kind="stable")[: self.limit]
        self.keys, self.scores = keys[order], scores[order]
        if len(order) == self.limit:
            self.lowest = float(self.scores[-1])

    def result(self) -> list[list[float | int]]:
        """List ``[score, i, j]``, the best first."""
        self._merge()
        left, right = np.divmod(self.keys, max(1, self.vectors))
        return [
            [score, i, j]
            for score, i, j in zip(self.scores.tolist(), left.tolist(), right.tolist(), strict=True)
        ]
