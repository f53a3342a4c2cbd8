"""`Segment`: some tens of thousands of vectors, and a copy in eight bits with what that copy leaves out.

A row ``x`` is kept twice: as float32, which gives the scores, and as
``center + scale * weights * codes + rest``, of which a search reads only the ``codes``, int8, of every row.
The lengths of the rests are kept, so that by
Cauchy and Schwarz ``|query . rest| <= |query| * error`` says how far a score from the codes can be off.
Subtracting the center first matters: sentence vectors of one model point in much the same direction, and
what distinguishes them is the small remainder, which then has all 255 steps for itself. The weights, a spread
for each component, do the same for components that are much larger than others. A query points the common
way too, so what the rests have in the direction of the center, their ``leans``, is kept as well, and the
bound need only hold for the part of the query that is square to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Segment", "quantize", "rows_per_segment"]

_STEPS = 127
_CHUNK = 256  # rows that are quantised at a time, so that the float64 work stays in a core's cache
_SAMPLE = 4096  # rows that tell how far a component spreads
_UPWARDS = 1 + 2**-20  # rounding a bound to float32 must not lower it
_TINY = float(np.finfo(np.float32).tiny)  # nor must what is below float32's range vanish


def rows_per_segment(dimension: int) -> int:
    """Return how many rows a full segment has: at most 2**16, at most 128 MiB of float32.

    Large enough that a search's work per segment is nothing beside reading it, small enough that one
    segment's scores stay in a core's cache and that building one takes little memory.
    """
    return max(1024, min(2**16, 2**25 // dimension))


@dataclass(frozen=True, slots=True)
class Segment:
    """Vectors with ascending numbers.

    Attributes:
        numbers: ``[n]`` int64, ascending.
        center: ``[d]`` float32, the mean of the rows.
        weights: ``[d]`` float32, how far the rows spread around it.
        scales: ``[n]`` float32.
        errors: ``[n]`` float32, at least the length of what the codes leave out, the rest.
        leans: ``[n]`` float32, the rests' components in the direction of the center.
        codes: ``[n, d]`` int8.
        vectors: ``[n, d]`` float32.
        reach: at least the length of the longest ``scale * codes``.
        direction: the center's, ``[d]`` float64 of length one, or zero.
        alive: ``[n]``, false for rows that were removed; ``None`` while all are there.
        longest: at least the length of the longest row, but for its rest.
        largest_scale: of all rows.
        largest_error: of all rows.
        largest_lean: of all rows, either way.
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
            places = np.searchsorted(self.numbers, wanted)
            return np.compress(self.numbers[places] == wanted, places)
        return np.flatnonzero(_among(self.numbers, wanted))

    def compact(self) -> Segment | None:
        """Drop the removed rows for good; ``None`` if no row is left."""
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
    """Return which of the sorted numbers are among sorted others of the same range."""
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
    for rows in _chunks(count):
        offsets = vectors[rows].astype(np.float64) - center
        even = offsets / weights
        scales[rows] = np.abs(even).max(axis=1) / _STEPS
        steps = scales[rows].astype(np.float64)[:, None]
        coded = np.rint(np.divide(even, steps, out=even, where=steps > 0))
        codes[rows] = np.clip(coded, -_STEPS, _STEPS, out=coded)  # a tiny scale may have been rounded down
        coded *= steps
        rests = offsets - coded * weights
        errors[rows] = np.linalg.norm(rests, axis=1) * _UPWARDS + _TINY
        leans[rows] = rests @ direction
        reach = max(reach, float(np.linalg.norm(coded, axis=1).max()) * _UPWARDS)
    return Segment(numbers, center, weights, scales, errors, leans, codes, vectors, reach)


def _spread(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standard deviation of each component, of some rows; nearly constant ones get a small one."""
    some = vectors[:: max(1, len(vectors) // _SAMPLE)].astype(np.float64)
    spread = some.std(axis=0)
    mean = float(np.sqrt(np.square(spread).mean()))
    least = mean / 1000 if mean > _TINY * 1e6 else 1.0
    weights: NDArray[np.float32] = np.maximum(spread, least).astype(np.float32)
    return weights


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)
