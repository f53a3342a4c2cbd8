"""Retrieval: how high an index ranks the documents that answer a query."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from munjang.errors import InputError
from munjang.evaluation.measures.rankings import ranking_metrics
from munjang.evaluation.measures.resampling import Estimate
from munjang.progress import Advance, no_advance
from munjang.search.documents import Document, DocumentId
from munjang.search.index import Index
from munjang.search.query import Mode
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.sentence.transformer import SentenceTransformer

__all__ = ["MODES", "RetrievalResult", "RetrievalTask", "evaluate_retrieval", "indexed"]

MODES = ("semantic", "lexical", "hybrid", "reranked")
_DEPTH = 10
_AT_ONCE = 64  # queries searched by one call


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalTask:
    """Documents, and queries with the ids of the documents that answer them.

    Attributes:
        name: what the task is called.
        documents: all of one field, ``text``.
        queries: what is asked.
        relevant: for each query, the ids of what answers it; at least one.
        notes: how the task was made, for readers of the results.
    """

    name: str
    documents: Sequence[Document]
    queries: Sequence[str]
    relevant: Sequence[frozenset[DocumentId]]
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalResult:
    """One row: how well a mode of searching did.

    Attributes:
        mode: one of `MODES`.
        metrics: by their names.
        seconds_per_query: of searching, the query's encoding included.
    """

    mode: str
    metrics: Mapping[str, Estimate]
    seconds_per_query: float


def evaluate_retrieval(
    task: RetrievalTask,
    index: Index,
    modes: Sequence[str] = MODES[:3],
    *,
    rerank: CrossEncoder | None = None,
    weights: Mapping[str, float] | None = None,
    advance: Advance = no_advance,
) -> list[RetrievalResult]:
    """Search an index that holds the task's documents for every query, in each mode.

    ``"reranked"`` is the hybrid search whose best results ``rerank`` reorders. ``advance`` is called with
    the number of queries done. Raises `InputError` for an unknown mode, one given twice, or no cross-encoder.
    """
    _check(task, modes, rerank)
    return [_one_mode(task, index, mode, rerank, weights, advance) for mode in modes]


@contextmanager
def indexed(
    task: RetrievalTask,
    model: SentenceTransformer | str,
    *,
    analyzer: str | None = None,
    advance: Advance = no_advance,
) -> Iterator[Index]:
    """Make an index of the task's documents that lasts as long as the block."""
    with (
        TemporaryDirectory() as place,
        Index.open(Path(place) / "task.munjang", model=model, analyzer=analyzer) as index,
    ):
        index.upsert(task.documents, advance=advance)
        yield index


def _check(task: RetrievalTask, modes: Sequence[str], rerank: CrossEncoder | None) -> None:
    for mode in modes:
        if mode not in MODES:
            raise InputError(f"Unknown mode '{mode}'; there are {', '.join(MODES)}.")
        if mode == "reranked" and rerank is None:
            raise InputError("The mode 'reranked' needs a cross-encoder; name one with rerank.")
    if len(set(modes)) < len(modes):
        raise InputError(f"A mode is given twice: {', '.join(modes)}.")
    if not task.queries:
        raise InputError(f"The task '{task.name}' has no queries.")


def _one_mode(
    task: RetrievalTask,
    index: Index,
    mode: str,
    rerank: CrossEncoder | None,
    weights: Mapping[str, float] | None,
    advance: Advance,
) -> RetrievalResult:
    found: list[list[DocumentId]] = []
    begun = time.perf_counter()
    for start in range(0, len(task.queries), _AT_ONCE):
        some = task.queries[start : start + _AT_ONCE]
        results = index.search_batch(
            some,
            mode=cast("Mode", "hybrid" if mode == "reranked" else mode),
            limit=_DEPTH,
            weights=weights if mode in ("hybrid", "reranked") else None,
            rerank=rerank if mode == "reranked" else None,
        )
        found += [[hit.id for hit in hits] for hits in results]
        advance(len(some))
    seconds = (time.perf_counter() - begun) / len(task.queries)
    return RetrievalResult(
        mode=mode, metrics=ranking_metrics(found, task.relevant), seconds_per_query=seconds
    )
