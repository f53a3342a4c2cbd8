"""`VectorMatrix`: all vectors of an index, derived from its database, with exact nearest-vector search."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from munjang.backends.cores import available_cores
from munjang.errors import InputError
from munjang.search.vectors.file import StaleFileError, Stamp, VectorFile, write_segments
from munjang.search.vectors.graph import Graph, GraphFacts, is_installed
from munjang.search.vectors.rows import UNUSABLE, Rows, decoded, prepared
from munjang.search.vectors.scan import Query, measured_recall, nearest, nearest_in_graph

_UNSAVED_ROWS = 2**16  # a long update saves when it has more new rows than this and than half of the file
_CHUNK = 2**14  # rows of an update in memory at a time
_APPROXIMATE_FROM = 500_000  # rows; exact search of this number takes about 10 ms
_NEW_FOR_GRAPH = 5  # a graph is used while at most 1/5 of the rows are newer


class VectorMatrix:
    """The vectors ``[n, d]`` of one index, by passage number.

    Args:
        path: the derived file; ``None`` keeps everything in memory. A file that is damaged, or of another
            database, dimension or similarity, is ignored and replaced by the next `save`.
        identity: the identity of the database.
        dimension: of the vectors.
        similarity: ``cosine``, which normalizes vectors to length 1, or ``dot``.
        approximate_from: minimum number of rows for approximate search, with a graph from `build_graph`.

    Attributes:
        generation: the generation of the database; 0 if the matrix is empty.
        stale: why the file was ignored, or ``None``.

    Thread-safe: searches may run in several threads, also while another thread updates or saves.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        identity: str,
        dimension: int,
        similarity: str,
        approximate_from: int = _APPROXIMATE_FROM,
    ) -> None:
        if similarity not in ("cosine", "dot"):
            raise InputError(f"Unknown similarity '{similarity}'; use 'cosine' or 'dot'.")
        self.path = path
        self.generation = 0
        self.stale: str | None = None
        self._approximate_from = approximate_from
        self._cores = available_cores()
        self._graph: Graph | None = None
        self._stamp = Stamp(identity, 0, dimension, similarity)
        self._lock = threading.RLock()
        self._rows = Rows.of_file((), dimension)
        if path is not None and self._open(path) and len(self) >= approximate_from and is_installed():
            self._open_graph()

    def _open(self, path: Path) -> bool:
        """Open the file if it is valid and not stale; return whether it was opened."""
        try:
            file = VectorFile(path)
        except StaleFileError as error:
            self.stale = None if isinstance(error.__cause__, FileNotFoundError) else str(error)
            return False
        if self._stamped(file.stamp.generation) != file.stamp:
            self.stale = f"belongs to another index: {file.stamp}"
            return False
        self._rows = Rows.of_file(file.segments, self._stamp.dimension)
        self.generation, self.stale = file.stamp.generation, None
        return True

    def _stamped(self, generation: int) -> Stamp:
        stamp = self._stamp
        return Stamp(stamp.identity, generation, stamp.dimension, stamp.similarity)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def unsaved(self) -> int:
        """Number of rows that differ from the file: new rows and removed rows."""
        return self._rows.new + self._rows.gone

    def clear(self) -> None:
        """Remove all rows, such as when the file is newer than a restored database."""
        with self._lock:
            self._rows = Rows.of_file((), self._stamp.dimension)
            self.generation, self._graph = 0, None

    def update(self, added: Iterable[tuple[int, bytes]], removed: Sequence[int], generation: int) -> None:
        """Add rows, ``d`` little-endian float32 each, in the order of their numbers; then remove rows.

        Known numbers are not added again, and unknown numbers are not removed, so an interrupted update can
        be repeated. A removed number is never used again. Raises `InputError` for a vector of another length
        or with a component that is not finite, and for a new number that is lower than the number before it;
        the rows before it are kept, with the old generation.
        """
        with self._lock:
            source = iter(added)
            while chunk := list(itertools.islice(source, _CHUNK)):
                self._add(chunk)
                self._save_if_large()
            if len(removed):
                self._rows = self._rows.without(np.unique(np.asarray(removed, dtype=np.int64)))
            self.generation = generation

    def _add(self, chunk: Sequence[tuple[int, bytes]]) -> None:
        if new := self._rows.unknown(chunk):
            self._rows = self._rows.plus(*decoded(new, self._stamp.dimension, self._stamp.similarity))

    def _save_if_large(self) -> None:
        rows = self._rows
        if rows.new > max(_UNSAVED_ROWS, (len(rows) - rows.new) // 2):
            self.save()

    def save(self) -> bool:
        """Write the file atomically, then read from it; return whether that succeeded.

        If the folder is not writable or the disk is full, all rows stay in memory.
        """
        with self._lock:
            if self.path is None:
                return False
            try:
                write_segments(self.path, self._stamped(self.generation), self._rows.packed())
            except OSError:
                return False
            return self._open(self.path)

    def damage(self) -> list[str]:
        """Read the whole file, and return a line for each damaged part.

        Opening checks everything but the codes and the vectors. To repair damage, call `clear`, `update` and
        `save`.
        """
        if self.path is None or not self._rows.stored:
            return []
        try:
            return [f"'{self.path}': {line}." for line in VectorFile(self.path).damage()]
        except StaleFileError as error:
            return [f"'{self.path}' {error}."]

    def search(
        self,
        query: NDArray[np.float32],
        limit: int,
        *,
        allowed: NDArray[np.int64] | None = None,
        exact: bool = False,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the rows most similar to a query ``[d]``: numbers and similarities, best first.

        ``allowed``, sorted numbers, restricts the search. Equally similar rows are ordered by number. The
        result is complete, unless there is a graph (`build_graph`), no filter, and ``exact`` is false; the
        similarities are exact even then. Raises `InputError` for a query of another length or not finite.
        """
        prepared_query = self._query(query)
        rows = self._rows
        limit = min(limit, len(rows))
        if limit <= 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        graph = None if exact or allowed is not None else self._usable_graph(rows)
        if graph is not None:
            numbers, scores = nearest_in_graph(rows, graph, prepared_query, limit)
            if len(numbers) == limit:
                return numbers, scores
        return nearest(rows, prepared_query, limit, allowed=allowed, cores=self._cores)

    @property
    def graph_path(self) -> Path | None:
        """The path of the graph's file, beside the derived file."""
        return None if self.path is None else self.path.with_name(f"{self.path.name}-graph")

    @property
    def graph(self) -> GraphFacts | None:
        """Facts of the graph in use: its source and its measured recall."""
        graph = self._usable_graph(self._rows)
        return None if graph is None else graph.facts

    def build_graph(self, advance: Callable[[int], None] | None = None) -> GraphFacts | None:
        """Build the graph for approximate search, measure its recall, and save it if the file can be written.

        Returns ``None`` and does nothing with fewer than ``approximate_from`` rows. Takes minutes for a
        million rows and does not block searches. Raises `MissingExtraError` without the extra ``ann``.
        """
        rows, generation = self._rows, self.generation
        if len(rows) < max(1, self._approximate_from):
            return None
        graph = Graph.build(
            list(rows.packed()), self._stamped(generation), cores=self._cores, advance=advance
        )
        graph.facts = replace(graph.facts, recall=measured_recall(rows, graph))
        self._graph = graph
        if self.graph_path is not None:
            with contextlib.suppress(OSError, StaleFileError):
                graph.save(self.graph_path)
                self._graph = Graph.open(self.graph_path)  # frees the memory of the graph just built
        return graph.facts

    def _open_graph(self) -> None:
        assert self.graph_path is not None
        with contextlib.suppress(StaleFileError):
            graph = Graph.open(self.graph_path)
            stamp = graph.facts.stamp
            if stamp == self._stamped(stamp.generation) and stamp.generation <= self.generation:
                self._graph = graph

    def _usable_graph(self, rows: Rows) -> Graph | None:
        graph = self._graph
        if graph is None or len(rows) < self._approximate_from:
            return None
        newer = len(rows) - graph.facts.count  # more than this if rows were removed
        return graph if newer * _NEW_FOR_GRAPH <= len(rows) else None

    def _query(self, query: NDArray[np.float32]) -> Query:
        dimension = self._stamp.dimension
        if query.shape != (dimension,):
            raise InputError(f"A query must have the shape ({dimension},), got {query.shape}.")
        vectors, usable = prepared(query[None].astype(np.float32, copy=False), self._stamp.similarity)
        if not usable.all():
            raise InputError(f"The query's vector {UNUSABLE}")
        return Query(vectors[0])
