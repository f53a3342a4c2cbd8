"""Exact nearest-vector search that reads eight bits of every component and few rows in full precision.

The codes of a row yield an estimate of its score and a bound on the error of the estimate (see `Segment`).
The ``limit``-th best "estimate minus bound", the floor, is a score that all results reach; so only rows whose
"estimate plus bound" reaches it can be results. The scores of these few rows are computed in float64 from
their float32 vectors and rounded to float32. The result equals that of a comparison with every row.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

import numkong
import numpy as np
from numpy.typing import NDArray

from munjang.search.vectors.graph import Graph
from munjang.search.vectors.rows import Rows, Segment

Nearest: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]  # numbers and scores, best first

_FEW = 50  # up to 1/50 of the rows are scored exactly without a scan
_PROBES = 200  # queries to measure a graph's recall
_STEPS = 127
_EXACT_ROWS = 4096  # rows scored exactly at a time, to save memory
_FIRST_ROWS = 4096  # rows of a segment from which a first floor is computed
_WORTH_A_THREAD = 2**23  # bytes of codes that take as long to read as a thread takes to start
# Rounding errors of the final float32 and of the sums in float64, relative to the lengths.
_ROUNDING = 2.0**-23


class Query:
    """A query ``[d]`` in finite float32 and in float64, and its length."""

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


class _Scored(NamedTuple):
    """The numbers and scores of rows, in no order."""

    numbers: NDArray[np.int64]
    scores: NDArray[np.float32]


class _Candidates(NamedTuple):
    """Rows of one segment: positions, estimates of their scores, and bounds on the errors of these."""

    segment: Segment
    rows: NDArray[np.intp]
    estimates: NDArray[np.float64]
    bounds: NDArray[np.float64]

    @property
    def lower(self) -> NDArray[np.float64]:
        return self.estimates - self.bounds

    def reaching(self, floor: float) -> _Candidates:
        return self.only(self.estimates + self.bounds >= floor)

    def only(self, mask: NDArray[np.bool_]) -> _Candidates:
        rows = np.flatnonzero(mask)
        return _Candidates(self.segment, self.rows[rows], self.estimates[rows], self.bounds[rows])


class _Floor:
    """The score that all results reach: the ``limit``-th best lower bound so far; -infinity at first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bounds = np.empty(0)
        self._lock = threading.Lock()
        self.value = -np.inf

    def offer(self, bounds: NDArray[np.float64]) -> None:
        """Add lower bounds of the scores of further rows."""
        with self._lock:
            self._bounds = _largest(np.concatenate((self._bounds, bounds[bounds >= self.value])), self._limit)
            if len(self._bounds) == self._limit:
                self.value = float(self._bounds.min())

    def with_bounds(self, bounds: NDArray[np.float64]) -> float:
        """Return the floor of these lower bounds alone, if it is higher than the current floor."""
        if len(bounds) < self._limit:
            return self.value
        return max(self.value, float(_largest(bounds, self._limit).min()))


def _largest(values: NDArray[np.float64], limit: int) -> NDArray[np.float64]:
    return values if len(values) <= limit else np.partition(values, len(values) - limit)[-limit:]


def _scan(
    segments: Sequence[Segment],
    query: Query,
    limit: int,
    *,
    masks: Sequence[NDArray[np.bool_]] | None = None,
    cores: int = 1,
) -> _Scored:
    """Return the rows that can be among the ``limit`` best, with exact scores.

    ``masks`` has the allowed rows of each segment; removed rows are never returned.
    """
    floor = _Floor(limit)
    waiting = deque(range(len(segments)))  # a queue: each thread takes the next segment

    def run(_: int) -> list[_Candidates]:
        candidates = []
        while waiting:
            try:
                number = waiting.popleft()
            except IndexError:  # another thread took the last segment
                break
            mask = masks[number] if masks else None
            candidates.append(_candidates(segments[number], query, floor, mask))
        return candidates

    threads = _threads(segments, cores)
    if threads == 1:
        candidates = run(0)
    else:
        with ThreadPoolExecutor(threads) as pool:  # numkong and NumPy release the GIL
            candidates = [part for parts in pool.map(run, range(threads)) for part in parts]
    return _exact_scores([part for part in candidates if len(part.rows)], query, limit, floor.value)


def _threads(segments: Sequence[Segment], cores: int) -> int:
    work = sum(segment.codes.nbytes for segment in segments)
    return max(1, min(cores, len(segments), work // _WORTH_A_THREAD))


class _View:
    """A query relative to a segment: the common part of all scores, weights of errors, and two int8 parts.

    ``query * weights`` is approximately ``high_step * high``, and more precisely
    ``high_step * high + low_step * low``.
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
    """Read all codes of a segment; return the rows whose upper bound reaches the floor."""
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
    if level == -np.inf:  # compute a first floor from a few rows, so that most other rows are skipped
        level = floor.with_bounds(rough(np.arange(min(_FIRST_ROWS, len(dots)))).lower)
    rows = _promising(dots, level - view.base - view.most, view.high_step * segment.largest_scale)
    candidates = rough(rows)
    closer = _closer(candidates.reaching(max(level, floor.with_bounds(candidates.lower))), view)
    floor.offer(closer.lower)
    return closer.reaching(floor.value)


def _bounds(segment: Segment, rows: NDArray[np.intp], across: float, slack: float) -> NDArray[np.float64]:
    bounds: NDArray[np.float64] = segment.errors[rows].astype(np.float64) * across + slack
    return bounds


def _promising(dots: NDArray[np.float64], missing: float, factor: float) -> NDArray[np.intp]:
    """Return the rows whose product can reach ``missing``: one comparison each, with the largest scale."""
    if missing <= 0 or factor <= 0:
        return np.arange(len(dots))
    return np.flatnonzero(dots >= missing / factor * (1 - 1e-9))


def _closer(candidates: _Candidates, view: _View) -> _Candidates:
    """Return the candidates with estimates from both parts of the query; only the rows' errors remain."""
    segment, rows, estimates, _ = candidates
    if not len(rows):
        return candidates
    dots = np.asarray(numkong.cdist(view.low, segment.codes[rows], metric="dot"))[0]
    closer = estimates + segment.scales[rows] * (view.low_step * dots)
    return _Candidates(segment, rows, closer, _bounds(segment, rows, view.across, view.low_slack))


def _exact_scores(parts: Sequence[_Candidates], query: Query, limit: int, floor: float) -> _Scored:
    """Score the rows with the best estimates, which raises the floor, then the rows that still reach it."""
    parts = [part.reaching(floor) for part in parts]
    estimates = np.concatenate([part.estimates for part in parts]) if parts else np.empty(0)
    middle = float(_largest(estimates, limit).min()) if len(estimates) else 0.0
    likely = _concatenated(
        [_score(part.segment, part.only(part.estimates >= middle).rows, query) for part in parts]
    )
    if len(likely.scores) >= limit:
        floor = max(floor, float(_largest(likely.scores.astype(np.float64), limit).min()))
    others = [part.only(part.estimates < middle).reaching(floor) for part in parts]
    return _concatenated([likely, *(_score(part.segment, part.rows, query) for part in others)])


def _score(segment: Segment, rows: NDArray[np.intp], query: Query) -> _Scored:
    """Score rows of a segment exactly: products of float32 summed in float64, rounded to float32."""
    parts = [rows[start : start + _EXACT_ROWS] for start in range(0, len(rows), _EXACT_ROWS)]
    scores = [_products(segment.vectors[part], query) for part in parts]
    return _Scored(segment.numbers[rows], np.concatenate([*scores, np.empty(0, dtype=np.float32)]))


def _products(vectors: NDArray[np.float32], query: Query) -> NDArray[np.float32]:
    """Return the exact scores of rows ``[n, d]``, at least one row."""
    # The kernel computes each row separately, so equal rows have equal scores wherever they are.
    scores: NDArray[np.float64] = np.asarray(numkong.cdist(query.vector[None], vectors, metric="dot"))[0]
    return scores.astype(np.float32)


def _concatenated(parts: Sequence[_Scored]) -> _Scored:
    numbers = [part.numbers for part in parts]
    scores = [part.scores for part in parts]
    return _Scored(
        np.concatenate([*numbers, np.empty(0, dtype=np.int64)]),
        np.concatenate([*scores, np.empty(0, dtype=np.float32)]),
    )


def _best(parts: Sequence[_Scored], limit: int) -> Nearest:
    """Return the best rows of all parts, best first; equal scores are ordered by number."""
    numbers, scores = _concatenated(parts)
    if len(scores) > limit:
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - limit)[-limit])
        numbers, scores = numbers[kept], scores[kept]
    order = np.lexsort((numbers, -scores))[:limit]
    return numbers[order], scores[order]


def nearest(
    rows: Rows, query: Query, limit: int, *, allowed: NDArray[np.int64] | None = None, cores: int = 1
) -> Nearest:
    """Return the exact nearest rows, best first, among all or among sorted ``allowed`` numbers."""
    newest = _score_newest(rows, query, allowed)
    if allowed is not None and len(allowed) * _FEW <= len(rows):
        return _best([newest, *_score_allowed(rows.segments, query, allowed)], limit)
    masks = None if allowed is None else [_mask(segment, allowed) for segment in rows.segments]
    return _best([newest, _scan(rows.segments, query, limit, masks=masks, cores=cores)], limit)


def nearest_in_graph(rows: Rows, graph: Graph, query: Query, limit: int) -> Nearest:
    """Return the nearest rows among a graph's candidates, with exact scores, and all rows newer than it."""
    last = graph.facts.last
    parts = list(_score_allowed(rows.segments, query, graph.propose(query.vector, limit)))
    newer = [segment for segment in rows.segments if segment.numbers[-1] > last]
    masks = [segment.numbers > last for segment in newer]
    parts.append(_scan(newer, query, limit, masks=masks))
    parts.append(_score_newest(rows, query, None))
    return _best(parts, limit)


def measured_recall(rows: Rows, graph: Graph) -> float:
    """Return a graph's recall@10 with slightly perturbed stored rows as queries."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(_PROBES):
        segment = rows.segments[rng.integers(len(rows.segments))] if rows.segments else None
        source = rows.vectors if segment is None else segment.vectors
        vector = source[rng.integers(len(source))].astype(np.float64)
        noise = rng.standard_normal(len(vector))
        perturbed = vector + noise * (0.3 * np.linalg.norm(vector) / np.linalg.norm(noise))
        query = Query(perturbed.astype(np.float32))
        limit = min(10, len(rows))
        exact, _ = nearest(rows, query, limit)
        approximate, _ = nearest_in_graph(rows, graph, query, limit)
        shares.append(len(np.intersect1d(exact, approximate)) / limit)
    return float(np.mean(shares))


def _score_newest(rows: Rows, query: Query, allowed: NDArray[np.int64] | None) -> _Scored:
    """Score the allowed rows that are in no segment exactly."""
    numbers, vectors = rows.numbers, rows.vectors
    if allowed is not None:
        mask = np.isin(numbers, allowed)
        numbers, vectors = numbers[mask], vectors[mask]
    if not len(numbers):
        return _concatenated([])
    return _Scored(numbers, _products(vectors, query))


def _score_allowed(
    segments: Sequence[Segment], query: Query, allowed: NDArray[np.int64]
) -> Iterator[_Scored]:
    """Score the allowed rows of segments exactly."""
    for segment in segments:
        positions = segment.positions(allowed)
        if segment.alive is not None:
            positions = positions[segment.alive[positions]]
        yield _score(segment, positions, query)


def _mask(segment: Segment, allowed: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(len(segment.numbers), dtype=np.bool_)
    mask[segment.positions(allowed)] = True
    return mask
