"""`Rows`: what a matrix holds at one moment, and how rows come in, go out and are put together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.search.vectors.segment import Segment, quantize, rows_per_segment

__all__ = ["UNUSABLE", "Rows", "decoded", "prepared"]

_LOOSE_ROWS = 4096  # newest rows that are kept as they are; more are made into a segment
_LONGEST = 1e18  # a vector longer than this could have a product that float32 can't hold
_CHUNK = 256  # rows that are worked on in float64 at a time, in a core's cache

UNUSABLE = f"has a component that is not finite, or is longer than {_LONGEST:.0e}; it can't be compared."


@dataclass(frozen=True, slots=True)
class Rows:
    """A snapshot of the matrix's rows; a search uses the same snapshot until it ends.

    Attributes:
        segments: in the order of their numbers.
        numbers: of the newest rows, which are not yet in a segment.
        vectors: of these, ``[n, d]``.
        stored: how many segments are in the file, the first ones.
    """

    segments: tuple[Segment, ...]
    numbers: NDArray[np.int64]
    vectors: NDArray[np.float32]
    stored: int = 0

    @classmethod
    def of_file(cls, segments: Sequence[Segment], dimension: int) -> Rows:
        """Return the rows of a file's segments, possibly empty."""
        numbers, vectors = np.empty(0, dtype=np.int64), np.empty((0, dimension), dtype=np.float32)
        return cls(tuple(segments), numbers, vectors, len(segments))

    def __len__(self) -> int:
        return sum(len(segment) for segment in self.segments) + len(self.numbers)

    @property
    def last(self) -> int | None:
        """The highest number."""
        if len(self.numbers):
            return int(self.numbers[-1])
        return int(self.segments[-1].numbers[-1]) if self.segments else None

    @property
    def new(self) -> int:
        """Number of rows that are not in the file."""
        return sum(len(segment) for segment in self.segments[self.stored :]) + len(self.numbers)

    @property
    def gone(self) -> int:
        """Number of removed rows of the file."""
        return sum(len(one.numbers) - len(one) for one in self.segments[: self.stored])

    def unknown(self, added: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, bytes]]:
        """Return the rows that are not known yet; raise `InputError` unless their numbers increase."""
        last = self.last
        if last is not None and added and added[0][0] <= last:
            numbers = np.array([number for number, _ in added], dtype=np.int64)
            known = np.isin(numbers, self.numbers)
            for segment in self.segments:
                known |= np.isin(numbers, segment.numbers)
            added = list(itertools.compress(added, ~known))
        order = ([] if last is None else [last]) + [number for number, _ in added]
        for before, number in itertools.pairwise(order):
            if number <= before:
                raise InputError(f"Passage {number} comes after passage {before}; numbers must grow.")
        return added

    def plus(self, numbers: NDArray[np.int64], vectors: NDArray[np.float32]) -> Rows:
        """Return these rows with added rows, which have higher numbers."""
        numbers = np.concatenate((self.numbers, numbers))
        vectors = np.concatenate((self.vectors, vectors))
        if len(numbers) < _LOOSE_ROWS:
            return replace(self, numbers=numbers, vectors=vectors)
        most = rows_per_segment(vectors.shape[1])
        parts = (slice(start, start + most) for start in range(0, len(numbers), most))
        segments = (*self.segments, *(quantize(numbers[part], vectors[part]) for part in parts))
        return Rows(segments, numbers[:0], vectors[:0].copy(), self.stored)

    def without(self, removed: NDArray[np.int64]) -> Rows:
        """Return these rows without the rows of these sorted numbers."""
        segments = tuple(segment.without(removed) for segment in self.segments)
        kept = ~np.isin(self.numbers, removed)
        return Rows(segments, self.numbers[kept], self.vectors[kept], self.stored)

    def packed(self) -> Iterator[Segment]:
        """Yield segments without removed rows; consecutive small segments are merged."""
        most = rows_per_segment(self.vectors.shape[1])
        waiting: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        for segment in filter(None, (one.compact() for one in self.segments)):
            if sum(len(numbers) for numbers, _ in waiting) + len(segment) > most:
                yield from _merged(waiting)
                waiting = []
            if not waiting and 2 * len(segment) > most:
                yield segment
            else:
                waiting.append((segment.numbers, segment.vectors))
        waiting.append((self.numbers, self.vectors))
        yield from _merged(waiting)


def _merged(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> Iterator[Segment]:
    numbers = np.concatenate([numbers for numbers, _ in parts])
    if len(numbers):
        yield quantize(numbers, np.concatenate([vectors for _, vectors in parts]))


def decoded(
    added: Sequence[tuple[int, bytes]], dimension: int, similarity: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the numbers and vectors of stored rows; raise `InputError` for an invalid vector."""
    for number, blob in added:
        if len(blob) != 4 * dimension:
            raise InputError(
                f"The vector of passage {number} has {len(blob)} bytes, not 4 for each of {dimension}."
            )
    vectors = np.frombuffer(b"".join(blob for _, blob in added), dtype="<f4").reshape(-1, dimension)
    numbers = np.array([number for number, _ in added], dtype=np.int64)
    vectors, usable = prepared(vectors, similarity)
    if not usable.all():
        raise InputError(f"The vector of passage {numbers[np.argmin(usable)]} {UNUSABLE}")
    return numbers, vectors


def prepared(vectors: NDArray[np.float32], similarity: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return rows as they are compared, and which of them can be: of length one (or zero) for cosine."""
    lengths = np.empty(len(vectors))
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        lengths[part] = np.linalg.norm(vectors[part].astype(np.float64), axis=1)
    if similarity == "dot":
        return vectors.astype(np.float32), lengths <= _LONGEST  # false for NaN too
    usable = np.isfinite(lengths)
    uneven = np.flatnonzero(usable & (lengths > 0) & (np.abs(lengths - 1) > 1e-7))
    even = vectors.astype(np.float32)
    for start in range(0, len(uneven), _CHUNK):
        rows = uneven[start : start + _CHUNK]
        even[rows] = vectors[rows].astype(np.float64) / lengths[rows, None]
    return even, usable
