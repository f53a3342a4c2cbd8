"""The exact nearest rows of a query, found by reading eight bits of every component and few rows in full.

What is known of a row's score is an estimate and a bound on its error (see `vector_segment`). The
``limit``-th best of "estimate minus bound" is a score that the results surely reach; so only rows whose
"estimate plus bound" reaches it can be among them. These few are scored in full, in float64 from float32
rows, and rounded to float32: the result is what a comparison with every row would have given.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numkong
import numpy as np
from numpy.typing import NDArray

from munjang.search.vectors.segment import Segment

__all__ = ["Query", "Scored", "best", "joined", "products", "scan", "score"]

_STEPS = 127
_FULL_ROWS = 4096  # rows that are scored in full at a time, so that they take little memory
_FIRST_ROWS = 4096  # rows that say what the best of a segment will at least reach
_WORTH_A_THREAD = 2**23  # bytes of codes; starting a thread takes as long as reading about these
# Each score is rounded to float32 at the end, and sums in float64 round too; relative to the lengths.
_ROUNDING = 2.0**-23


class Query:
    """A query ``[d]``, finite float32, also as float64, and its length."""

    def __init__(self, vector: NDArray[np.float32]) -> None:
        self.vector = vector
        self.exact = vector.astype(np.float64)
        self.length = float(np.linalg.norm(self.exact))


def _rounded(vector: NDArray[np.float64]) -> tuple[NDArray[np.int8], float, NDArray[np.float64]]:
    step = float(np.abs(vector).max()) / _STEPS
    if step < np.finfo(np.float64).tiny:  # 0, or too small to divide by
        return np.zeros((1, len(vector)), dtype=np.int8), 0.0, vector
    codes = np.rint(vector / step)
    return codes.astype(np.int8)[None], step, vector - step * codes


class Scored(NamedTuple):
    """Rows by number and what they score, in no order."""

    numbers: NDArray[np.int64]
    scores: NDArray[np.float32]


class _Candidates(NamedTuple):
    """Rows of one segment: positions, estimates of their scores, and how far those can be off."""

    segment: Segment
    rows: NDArray[np.intp]
    estimates: NDArray[np.float64]
    bounds: NDArray[np.float64]

    @property
    def lower(self) -> NDArray[np.float64]:
        return self.estimates - self.bounds

    def reaching(self, floor: float) -> _Candidates:
        return self.only(self.estimates + self.bounds >= floor)

    def only(self, chosen: NDArray[np.bool_]) -> _Candidates:
        rows = np.flatnonzero(chosen)
        return _Candidates(self.segment, self.rows[rows], self.estimates[rows], self.bounds[rows])


class _Floor:
    """The score that the results surely reach: the ``limit``-th best lower bound so far, or no score."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bounds = np.empty(0)
        self._lock = threading.Lock()
        self.value = -np.inf

    def offer(self, bounds: NDArray[np.float64]) -> None:
        """Add lower bounds of the scores of rows that were not offered before."""
        with self._lock:
            self._bounds = _largest(np.concatenate((self._bounds, bounds[bounds >= self.value])), self._limit)
            if len(self._bounds) == self._limit:
                self.value = float(self._bounds.min())

    def with_these(self, bounds: NDArray[np.float64]) -> float:
        """Return the floor, or a higher one if these rows, offered or not, have one by themselves."""
        if len(bounds) < self._limit:
            return self.value
        return max(self.value, float(_largest(bounds, self._limit).min()))


def _largest(values: NDArray[np.float64], limit: int) -> NDArray[np.float64]:
    return values if len(values) <= limit else np.partition(values, len(values) - limit)[-limit:]


def scan(
    segments: Sequence[Segment],
    query: Query,
    limit: int,
    *,
    masks: Sequence[NDArray[np.bool_]] | None = None,
    cores: int = 1,
) -> Scored:
    """Return the rows that can be among the ``limit`` best, scored in full.

    ``masks`` has the allowed rows of each segment; removed rows are never returned.
    """
    floor = _Floor(limit)
    waiting = deque(range(len(segments)))  # a queue: each thread takes the next segment

    def run(_: int) -> list[_Candidates]:
        found = []
        while (number := _taken(waiting)) is not None:
            found.append(_candidates(segments[number], query, floor, masks[number] if masks else None))
        return found

    threads = _threads(segments, cores)
    if threads == 1:
        found = run(0)
    else:
        with ThreadPoolExecutor(threads) as pool:  # numkong and NumPy release the GIL
            found = [one for part in pool.map(run, range(threads)) for one in part]
    return _rescored([one for one in found if len(one.rows)], query, limit, floor.value)


def _taken(waiting: deque[int]) -> int | None:
    try:
        return waiting.popleft()
    except IndexError:  # another thread took the last segment
        return None


def _threads(segments: Sequence[Segment], cores: int) -> int:
    work = sum(segment.codes.nbytes for segment in segments)
    return max(1, min(cores, len(segments), work // _WORTH_A_THREAD))


class _View:
    """A query as one segment sees it: what all rows score alike, what errors weigh, and two parts in int8.

    ``query * weights ~ high_step * high`` and, closer, ``high_step * high + low_step * low``.
    """

    def __init__(self, query: Query, segment: Segment) -> None:
        self.base = float(segment.center @ query.exact)
        self.along = float(segment.direction @ query.exact)
        self.across = float(np.linalg.norm(query.exact - self.along * segment.direction))
        self.high, self.high_step, rest = _rounded(query.exact * segment.weights)
        self.low, self.low_step, rest_of_rest = _rounded(rest)
        most = query.length * (segment.longest + segment.largest_error)
        rounding = _ROUNDING * most
        self.high_slack = float(np.linalg.norm(rest)) * segment.reach + rounding
        self.low_slack = float(np.linalg.norm(rest_of_rest)) * segment.reach + rounding
        self.most = self.across * segment.largest_error + abs(self.along) * segment.largest_lean
        self.most += self.high_slack


def _candidates(segment: Segment, query: Query, floor: _Floor, mask: NDArray[np.bool_] | None) -> _Candidates:
    """Read all codes of a segment, and return the rows whose upper bound reaches the floor."""
    view = _View(query, segment)
    dots = np.asarray(numkong.cdist(view.high, segment.codes, metric="dot"))[0]

    def rough(rows: NDArray[np.intp]) -> _Candidates:
        for allowed in (segment.alive, mask):
            if allowed is not None:
                rows = rows[allowed[rows]]
        estimates = segment.scales[rows] * (view.high_step * dots[rows])
        estimates += view.base + view.along * segment.leans[rows].astype(np.float64)
        return _Candidates(segment, rows, estimates, _bounds(segment, rows, view.across, view.high_slack))

    level = floor.value
    if level == -np.inf:  # nothing is known yet: a few rows tell enough to pass over most of the others
        level = floor.with_these(rough(np.arange(min(_FIRST_ROWS, len(dots)))).lower)
    found = rough(_promising(dots, level - view.base - view.most, view.high_step * segment.largest_scale))
    closer = _closer(found.reaching(max(level, floor.with_these(found.lower))), view)
    floor.offer(closer.lower)
    return closer.reaching(floor.value)


def _bounds(segment: Segment, rows: NDArray[np.intp], across: float, slack: float) -> NDArray[np.float64]:
    bounds: NDArray[np.float64] = segment.errors[rows].astype(np.float64) * across + slack
    return bounds


def _promising(dots: NDArray[np.float64], missing: float, factor: float) -> NDArray[np.intp]:
    """Return the rows that can make up what is ``missing``: one comparison each, with the largest scale."""
    if missing <= 0 or factor <= 0:
        return np.arange(len(dots))
    return np.flatnonzero(dots >= missing / factor * (1 - 1e-9))


def _closer(found: _Candidates, view: _View) -> _Candidates:
    """Estimate with both parts of the query, which leaves the errors of the rows alone."""
    segment, rows, estimates, _ = found
    if not len(rows):
        return found
    dots = np.asarray(numkong.cdist(view.low, segment.codes[rows], metric="dot"))[0]
    closer = estimates + segment.scales[rows] * (view.low_step * dots)
    return _Candidates(segment, rows, closer, _bounds(segment, rows, view.across, view.low_slack))


def _rescored(found: Sequence[_Candidates], query: Query, limit: int, floor: float) -> Scored:
    """Score the likeliest rows in full, which raises the floor, and then those that still reach it."""
    found = [one.reaching(floor) for one in found]
    estimates = np.concatenate([one.estimates for one in found]) if found else np.empty(0)
    middle = float(_largest(estimates, limit).min()) if len(estimates) else 0.0
    likely = joined([score(one.segment, one.only(one.estimates >= middle).rows, query) for one in found])
    if len(likely.scores) >= limit:
        floor = max(floor, float(_largest(likely.scores.astype(np.float64), limit).min()))
    others = [one.only(one.estimates < middle).reaching(floor) for one in found]
    return joined([likely, *(score(one.segment, one.rows, query) for one in others)])


def score(segment: Segment, rows: NDArray[np.intp], query: Query) -> Scored:
    """Score rows of a segment in full: products of float32 summed in float64, rounded to float32."""
    parts = [rows[start : start + _FULL_ROWS] for start in range(0, len(rows), _FULL_ROWS)]
    scores = [products(segment.vectors[part], query) for part in parts]
    return Scored(segment.numbers[rows], np.concatenate([*scores, np.empty(0, dtype=np.float32)]))


def products(vectors: NDArray[np.float32], query: Query) -> NDArray[np.float32]:
    """Score rows ``[n, d]``, at least one, in full."""
    # The kernel takes each row by itself, so that equal rows score equally wherever they stand.
    found: NDArray[np.float64] = np.asarray(numkong.cdist(query.vector[None], vectors, metric="dot"))[0]
    return found.astype(np.float32)


def joined(parts: Sequence[Scored]) -> Scored:
    """Return the concatenated rows of several parts."""
    numbers = [part.numbers for part in parts]
    scores = [part.scores for part in parts]
    return Scored(
        np.concatenate([*numbers, np.empty(0, dtype=np.int64)]),
        np.concatenate([*scores, np.empty(0, dtype=np.float32)]),
    )


def best(parts: Sequence[Scored], limit: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the best rows of all parts, best first, ties by the smaller number."""
    numbers, scores = joined(parts)
    if len(scores) > limit:
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - limit)[-limit])
        numbers, scores = numbers[kept], scores[kept]
    order = np.lexsort((numbers, -scores))[:limit]
    return numbers[order], scores[order]
