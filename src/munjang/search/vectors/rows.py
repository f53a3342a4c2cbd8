"""Rows of a vector matrix: segments of quantized vectors, and the newest rows, which are in no segment yet.

A segment has some tens of thousands of vectors. Each row ``x`` is stored twice: as float32, from which scores
are computed, and as ``center + scale * weights * codes + rest``. A search reads the ``codes`` (int8) of every
row, but only few float32 rows. The lengths of the rests are stored; by the Cauchy-Schwarz inequality
``|query . rest| <= |query| * error`` bounds the error of a score computed from the codes.

The center is subtracted first because the sentence vectors of a model have similar directions; the small
differences then use all 255 steps. The weights, a spread for each component, do the same for components that
are much larger than others. A query has the common direction too, so the components of the rests in the
direction of the center, their ``leans``, are stored as well, and the bound is needed only for the part of
the query that is orthogonal to the center.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError

_STEPS = 127
_CHUNK = 256  # rows processed at a time in float64, so that they stay in a core's cache
_SAMPLE = 4096  # rows from which the spread of the components is estimated
_UPWARDS = 1 + 2**-20  # rounding a bound to float32 must not lower it
_TINY = float(np.finfo(np.float32).tiny)  # added to errors, so that none is rounded to 0
_LOOSE_ROWS = 4096  # maximum number of newest rows outside of a segment
_LONGEST = 1e18  # maximum length of a vector; products of longer vectors could overflow float32

UNUSABLE = f"has a component that is not finite, or is longer than {_LONGEST:.0e}; it can't be compared."


def rows_per_segment(dimension: int) -> int:
    """Return how many rows a full segment has: at most 2**16, at most 128 MiB of float32.

    So large that the constant cost of a segment is small compared with reading it, and so small that the
    scores of a segment stay in a core's cache and that building one takes little memory.
    """
    return max(1024, min(2**16, 2**25 // dimension))


@dataclass(frozen=True, slots=True)
class Segment:
    """Vectors with ascending numbers.

    Attributes:
        numbers: ``[n]`` int64, ascending.
        center: ``[d]`` float32, the mean of the rows.
        weights: ``[d]`` float32, the spread of the rows around the center.
        scales: ``[n]`` float32.
        errors: ``[n]`` float32, upper bounds of the lengths of the rests.
        leans: ``[n]`` float32, the components of the rests in the direction of the center.
        codes: ``[n, d]`` int8.
        vectors: ``[n, d]`` float32.
        reach: upper bound of the length of ``scale * codes`` of all rows.
        direction: of the center, ``[d]`` float64 of length 1, or zero.
        alive: ``[n]``, false for removed rows; ``None`` if no row was removed.
        longest: upper bound of the length of all rows without their rests.
        largest_scale: the largest scale of all rows.
        largest_error: the largest error of all rows.
        largest_lean: the largest absolute lean of all rows.
    """

    numbers: NDArray[np.int64]
    center: NDArray[np.float32]
    weights: NDArray[np.float32]
    scales: NDArray[np.float32]
    errors: NDArray[np.float32]
    leans: NDArray[np.float32]
    codes: NDArray[np.int8]
    vectors: NDArray[np.float32]
    reach: float
    alive: NDArray[np.bool_] | None = None
    direction: NDArray[np.float64] = field(init=False)
    longest: float = field(init=False)
    largest_scale: float = field(init=False)
    largest_error: float = field(init=False)
    largest_lean: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", _direction(self.center))
        longest = float(np.linalg.norm(self.center)) + self.reach * float(self.weights.max())
        object.__setattr__(self, "longest", longest)
        object.__setattr__(self, "largest_scale", float(self.scales.max()))
        object.__setattr__(self, "largest_error", float(self.errors.max()))
        object.__setattr__(self, "largest_lean", float(np.abs(self.leans).max()))

    def __len__(self) -> int:
        return len(self.numbers) if self.alive is None else int(np.count_nonzero(self.alive))

    def without(self, removed: NDArray[np.int64]) -> Segment:
        """Return the segment without the rows of these sorted numbers; itself if it has none of them."""
        positions = self.positions(removed)
        if not len(positions):
            return self
        alive = np.ones(len(self.numbers), dtype=np.bool_) if self.alive is None else self.alive.copy()
        alive[positions] = False
        return replace(self, alive=alive)

    def positions(self, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the positions of the rows with these sorted numbers, including removed rows."""
        first, last = np.searchsorted(numbers, (self.numbers[0], self.numbers[-1] + 1))
        wanted = numbers[first:last]
        if len(wanted) * 16 < len(self.numbers):
            positions = np.searchsorted(self.numbers, wanted)
            return np.compress(self.numbers[positions] == wanted, positions)
        return np.flatnonzero(_among(self.numbers, wanted))

    def compact(self) -> Segment | None:
        """Return the segment with the removed rows deleted; ``None`` if no row is left."""
        if self.alive is None:
            return self
        rows = np.flatnonzero(self.alive)
        if not len(rows):
            return None
        return Segment(
            self.numbers[rows],
            self.center,
            self.weights,
            self.scales[rows],
            self.errors[rows],
            self.leans[rows],
            self.codes[rows],
            self.vectors[rows],
            self.reach,
        )


def _direction(center: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = center.astype(np.float64)
    length = float(np.linalg.norm(exact))
    return exact / length if length else exact


def _among(numbers: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask of the sorted numbers that are in ``wanted``, sorted numbers of the same range."""
    first, span = int(numbers[0]), int(numbers[-1] - numbers[0]) + 1
    if span > 16 * len(numbers):
        return np.isin(numbers, wanted)
    table = np.zeros(span, dtype=np.bool_)
    table[wanted - first] = True
    return table[numbers - first]


def quantize(numbers: NDArray[np.int64], vectors: NDArray[np.float32]) -> Segment:
    """Return a segment of rows ``[n, d]``, at least one row, all finite."""
    count, dimension = vectors.shape
    center = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    direction, weights = _direction(center), _spread(vectors)
    scales, errors, leans = (np.empty(count, dtype=np.float32) for _ in range(3))
    codes = np.empty((count, dimension), dtype=np.int8)
    reach = 0.0
    for start in range(0, count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        offsets = vectors[rows].astype(np.float64) - center
        weighted = offsets / weights
        scales[rows] = np.abs(weighted).max(axis=1) / _STEPS
        steps = scales[rows].astype(np.float64)[:, None]
        coded = np.rint(np.divide(weighted, steps, out=weighted, where=steps > 0))
        codes[rows] = np.clip(coded, -_STEPS, _STEPS, out=coded)  # a tiny scale may have been rounded down
        coded *= steps
        rests = offsets - coded * weights
        errors[rows] = np.linalg.norm(rests, axis=1) * _UPWARDS + _TINY
        leans[rows] = rests @ direction
        reach = max(reach, float(np.linalg.norm(coded, axis=1).max()) * _UPWARDS)
    return Segment(numbers, center, weights, scales, errors, leans, codes, vectors, reach)


def _spread(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standard deviation of each component in a sample of rows, with a positive minimum."""
    sample = vectors[:: max(1, len(vectors) // _SAMPLE)].astype(np.float64)
    spread = sample.std(axis=0)
    mean = float(np.sqrt(np.square(spread).mean()))
    least = mean / 1000 if mean > _TINY * 1e6 else 1.0
    weights: NDArray[np.float32] = np.maximum(spread, least).astype(np.float32)
    return weights


@dataclass(frozen=True, slots=True)
class Rows:
    """A snapshot of the matrix's rows; a search uses the same snapshot until it ends.

    Attributes:
        segments: in the order of their numbers.
        numbers: the numbers of the newest rows, which are in no segment yet.
        vectors: the vectors of the newest rows, ``[n, d]``.
        stored: how many of the first segments are in the file.
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
        return sum(len(segment.numbers) - len(segment) for segment in self.segments[: self.stored])

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
        for segment in filter(None, (segment.compact() for segment in self.segments)):
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
    """Return rows in the form that is compared, and a mask of the valid rows.

    For cosine, rows are normalized to length 1; rows of zeros stay zero.
    """
    lengths = np.empty(len(vectors))
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        lengths[part] = np.linalg.norm(vectors[part].astype(np.float64), axis=1)
    if similarity == "dot":
        return vectors.astype(np.float32), lengths <= _LONGEST  # false for NaN too
    usable = np.isfinite(lengths)
    uneven = np.flatnonzero(usable & (lengths > 0) & (np.abs(lengths - 1) > 1e-7))
    normalized = vectors.astype(np.float32)
    for start in range(0, len(uneven), _CHUNK):
        rows = uneven[start : start + _CHUNK]
        normalized[rows] = vectors[rows].astype(np.float64) / lengths[rows, None]
    return normalized, usable
