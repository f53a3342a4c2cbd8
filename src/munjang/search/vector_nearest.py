"""The nearest of all rows: scored in full where few may be found, scanned where many may, or proposed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.search.approximate import Graph
from munjang.search.vector_rows import Rows
from munjang.search.vector_scan import Query, Scored, best, joined, products, scan, score
from munjang.search.vector_segment import Segment

__all__ = ["Nearest", "measured_recall", "nearest", "proposed"]

Nearest: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]

_FEW = 50  # up to one row in so many is scored in full right away; more are worth a scan
_PROBES = 200  # queries by which a graph's recall is measured


def nearest(
    rows: Rows, query: Query, limit: int, *, allowed: NDArray[np.int64] | None = None, cores: int = 1
) -> Nearest:
    """Find the nearest rows, best first, all or among sorted numbers, leaving nothing out."""
    loose = _loose(rows, query, allowed)
    if allowed is not None and len(allowed) * _FEW <= len(rows):
        return best([loose, *_scored(rows.segments, query, allowed)], limit)
    masks = None if allowed is None else [_mask(segment, allowed) for segment in rows.segments]
    return best([loose, scan(rows.segments, query, limit, masks=masks, cores=cores)], limit)


def proposed(rows: Rows, graph: Graph, query: Query, limit: int) -> Nearest:
    """Score in full what a graph proposes, and find what is newer than it exactly."""
    last = graph.facts.last
    parts = list(_scored(rows.segments, query, graph.propose(query.vector, limit)))
    newer = [segment for segment in rows.segments if segment.numbers[-1] > last]
    masks = [segment.numbers > last for segment in newer]
    parts.append(scan(newer, query, limit, masks=masks))
    parts.append(_loose(rows, query, None))
    return best(parts, limit)


def measured_recall(rows: Rows, graph: Graph) -> float:
    """Measure which share of the true ten nearest rows a graph finds, of stored rows moved a little."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(_PROBES):
        segment = rows.segments[rng.integers(len(rows.segments))] if rows.segments else None
        source = rows.vectors if segment is None else segment.vectors
        vector = source[rng.integers(len(source))].astype(np.float64)
        noise = rng.standard_normal(len(vector))
        moved = vector + noise * (0.3 * np.linalg.norm(vector) / np.linalg.norm(noise))
        query = Query(moved.astype(np.float32))
        limit = min(10, len(rows))
        exact, _ = nearest(rows, query, limit)
        found, _ = proposed(rows, graph, query, limit)
        shares.append(len(np.intersect1d(exact, found)) / limit)
    return float(np.mean(shares))


def _loose(rows: Rows, query: Query, allowed: NDArray[np.int64] | None) -> Scored:
    numbers, vectors = rows.numbers, rows.vectors
    if allowed is not None:
        chosen = np.isin(numbers, allowed)
        numbers, vectors = numbers[chosen], vectors[chosen]
    if not len(numbers):
        return joined([])
    return Scored(numbers, products(vectors, query))


def _scored(segments: Sequence[Segment], query: Query, allowed: NDArray[np.int64]) -> Iterator[Scored]:
    """Score the allowed rows in full."""
    for segment in segments:
        positions = segment.positions(allowed)
        if segment.alive is not None:
            positions = positions[segment.alive[positions]]
        yield score(segment, positions, query)


def _mask(segment: Segment, allowed: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(len(segment.numbers), dtype=np.bool_)
    mask[segment.positions(allowed)] = True
    return mask
