"""Vectors of several kinds in a matrix, with searches compared with NumPy's exact search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from munjang.search.vectors.matrix import VectorMatrix

__all__ = ["IDENTITY", "SORTS", "blobs", "check", "filled", "matrix", "similarities", "sort_of"]

IDENTITY = "a database"
SORTS = ("random", "clustered", "compressed", "duplicates", "zeros", "unequal", "outliers", "equal")


def sort_of(sort: str, count: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    """Return vectors ``[count, dimension]`` of a kind that could cause errors."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, dimension))
    if sort == "clustered":
        vectors = rng.standard_normal((7, dimension))[rng.integers(7, size=count)] + 0.1 * vectors
    elif sort == "compressed":  # all similar to each other, as those of sentence models
        vectors = vectors / np.sqrt(dimension) * 0.1 + 1
    elif sort == "duplicates":
        vectors = vectors[rng.integers(max(1, count // 20), size=count)]
    elif sort == "zeros":
        vectors[rng.random(count) < 0.3] = 0
    elif sort == "unequal":  # lengths from 1e-12 to 1e12
        vectors *= 10.0 ** rng.uniform(-12, 12, size=(count, 1))
    elif sort == "outliers":  # a few components dominate
        vectors[rng.random(vectors.shape) < 0.01] *= 1000
    elif sort == "equal":
        vectors[:] = 0.5
    return vectors.astype(np.float32)


def blobs(vectors: NDArray[np.float32], first: int = 0) -> Iterator[tuple[int, bytes]]:
    """Number rows and encode them as in a database."""
    return ((first + row, vector.astype("<f4").tobytes()) for row, vector in enumerate(vectors))


def matrix(path: Path | None, dimension: int, similarity: str = "cosine") -> VectorMatrix:
    """Open a matrix of the same database."""
    return VectorMatrix(path, identity=IDENTITY, dimension=dimension, similarity=similarity)


def filled(
    vectors: NDArray[np.float32], path: Path | None = None, similarity: str = "cosine", generation: int = 1
) -> VectorMatrix:
    """Create a matrix of rows numbered from 0."""
    made = matrix(path, vectors.shape[1], similarity)
    made.update(blobs(vectors), [], generation)
    return made


def similarities(
    vectors: NDArray[np.float32], query: NDArray[np.float32], similarity: str
) -> NDArray[np.float64]:
    """Compare with every row in float64."""
    rows, wanted = vectors.astype(np.float64), query.astype(np.float64)
    if similarity == "cosine":
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        length = np.linalg.norm(wanted)
        wanted = wanted / length if length else wanted
    found: NDArray[np.float64] = np.einsum("nd,d->n", rows, wanted)
    return found


def check(
    made: VectorMatrix,
    vectors: NDArray[np.float32],
    numbers: Sequence[int] | NDArray[np.int64],
    query: NDArray[np.float32],
    limit: int,
    *,
    allowed: NDArray[np.int64] | None = None,
    similarity: str = "cosine",
) -> None:
    """Assert that a search finds the best of ``vectors``, which have ``numbers``, in order, with its scores.

    Rows whose scores differ by less than the precision of float32 may be swapped, but equal rows may not.
    """
    found, scores = made.search(query, limit, allowed=allowed)
    usable = np.ones(len(vectors), dtype=np.bool_) if allowed is None else np.isin(numbers, allowed)
    numbers, vectors = np.asarray(numbers, dtype=np.int64)[usable], vectors[usable]
    expected = similarities(vectors, query, similarity)
    best = np.sort(expected)[::-1][:limit]
    assert len(found) == len(set(found.tolist())) == min(limit, len(numbers))
    assert found.dtype == np.int64
    assert scores.dtype == np.float32
    rows = np.searchsorted(numbers, found)
    assert (numbers[rows] == found).all() if len(rows) else True
    sizes = np.linalg.norm(vectors.astype(np.float64), axis=1) * np.linalg.norm(query.astype(np.float64))
    tolerance = 2e-7 * (1.0 if similarity == "cosine" else float(sizes.max(initial=0)))
    np.testing.assert_allclose(scores, expected[rows], rtol=2e-7, atol=tolerance)
    np.testing.assert_allclose(expected[rows], best, rtol=2e-7, atol=tolerance)
    for place in range(len(found) - 1):
        assert scores[place] >= scores[place + 1]
        if scores[place] == scores[place + 1]:
            assert found[place] < found[place + 1]
