"""`VectorMatrix`: all vectors of one index, made from its database, searched exactly."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.backends.cores import available_cores
from munjang.errors import InputError
from munjang.search.vectors.file import Stamp, UnfitError, VectorFile, write_segments
from munjang.search.vectors.graph import Graph, GraphFacts, is_there
from munjang.search.vectors.rows import UNUSABLE, Rows, decoded, prepared
from munjang.search.vectors.scan import Query, Scored, best, joined, products, scan, score
from munjang.search.vectors.segment import Segment

__all__ = ["Nearest", "VectorMatrix", "measured_recall", "nearest", "proposed"]

Nearest: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]

_FEW = 50  # up to one row in so many is scored in full right away; more are worth a scan
_PROBES = 200  # queries by which a graph's recall is measured


def nearest(
    rows: Rows, query: Query, limit: int, *, allowed: NDArray[np.int64] | None = None, cores: int = 1
) -> Nearest:
    """Return the exact nearest rows, best first, among all or among sorted ``allowed`` numbers."""
    loose = _loose(rows, query, allowed)
    if allowed is not None and len(allowed) * _FEW <= len(rows):
        return best([loose, *_scored(rows.segments, query, allowed)], limit)
    masks = None if allowed is None else [_mask(segment, allowed) for segment in rows.segments]
    return best([loose, scan(rows.segments, query, limit, masks=masks, cores=cores)], limit)


def proposed(rows: Rows, graph: Graph, query: Query, limit: int) -> Nearest:
    """Return the nearest rows: a graph's candidates scored in full, and newer rows searched exactly."""
    last = graph.facts.last
    parts = list(_scored(rows.segments, query, graph.propose(query.vector, limit)))
    newer = [segment for segment in rows.segments if segment.numbers[-1] > last]
    masks = [segment.numbers > last for segment in newer]
    parts.append(scan(newer, query, limit, masks=masks))
    parts.append(_loose(rows, query, None))
    return best(parts, limit)


def measured_recall(rows: Rows, graph: Graph) -> float:
    """Return a graph's recall@10 with slightly perturbed stored rows as queries."""
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


_UNSAVED_ROWS = 2**16  # a long update saves what it has when it holds more in memory, and half of the file
_CHUNK = 2**14  # rows of an update that are held at a time
_APPROXIMATE_FROM = 500_000  # rows; exact search of so many takes some 10 ms
_NEW_FOR_GRAPH = 5  # a graph is used while at most one row in so many is newer than it


class VectorMatrix:
    """The vectors ``[n, d]`` of one index, by passage number.

    Args:
        path: the derived file; ``None`` keeps everything in memory. A file that is damaged, or of another
            database, dimension or similarity, is ignored and replaced by the next `save`.
        identity: of the database that the vectors come from.
        dimension: of the vectors.
        similarity: ``cosine``, for which vectors are normalised to length 1, or ``dot``.
        approximate_from: minimum number of rows for approximate search, with a graph from `build_graph`.

    Attributes:
        generation: the generation of the database that it represents, 0 when it is empty.
        unfit: why the file was ignored, or ``None``.

    Searches may run in several threads, also while another thread updates or saves.
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
        self.unfit: str | None = None
        self._approximate_from = approximate_from
        self._cores = available_cores()
        self._graph: Graph | None = None
        self._stamp = Stamp(identity, 0, dimension, similarity)
        self._lock = threading.RLock()
        self._rows = Rows.of_file((), dimension)
        if path is not None and self._open(path) and len(self) >= approximate_from and is_there():
            self._open_graph()

    def _open(self, path: Path) -> bool:
        """Open the file if it is valid and not stale; return whether it was opened."""
        try:
            file = VectorFile(path)
        except UnfitError as error:
            self.unfit = None if isinstance(error.__cause__, FileNotFoundError) else str(error)
            return False
        if self._stamped(file.stamp.generation) != file.stamp:
            self.unfit = f"belongs to something else: {file.stamp}"
            return False
        self._rows = Rows.of_file(file.segments, self._stamp.dimension)
        self.generation, self.unfit = file.stamp.generation, None
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
        """Add rows, ``d`` little-endian float32 each, in the order of their numbers; then remove some.

        Numbers that are there are not added again, those that are not there not removed, so that what was
        cut off may be repeated; a number that was removed never comes back. Raises `InputError` for a vector
        of another length or with a component that is not finite, and for a new number that is lower than one
        before it; what came before it stays, under the old generation.
        """
        with self._lock:
            source = iter(added)
            while chunk := list(itertools.islice(source, _CHUNK)):
                self._add(chunk)
                self._save_if_long()
            if len(removed):
                self._rows = self._rows.without(np.unique(np.asarray(removed, dtype=np.int64)))
            self.generation = generation

    def _add(self, chunk: Sequence[tuple[int, bytes]]) -> None:
        if new := self._rows.unknown(chunk):
            self._rows = self._rows.plus(*decoded(new, self._stamp.dimension, self._stamp.similarity))

    def _save_if_long(self) -> None:
        rows = self._rows
        if rows.new > max(_UNSAVED_ROWS, (len(rows) - rows.new) // 2):
            self.save()

    def save(self) -> bool:
        """Write the file atomically and use it from now on; return whether that succeeded.

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
        except UnfitError as error:
            return [f"'{self.path}' {error}."]

    def search(
        self,
        query: NDArray[np.float32],
        limit: int,
        *,
        allowed: NDArray[np.int64] | None = None,
        exact: bool = False,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the rows most similar to a query ``[d]``: numbers int64, and similarities float32, best first.

        ``allowed``, sorted numbers, limits what may be found. Of equally similar rows the one with the
        smaller number comes first. Nothing is left out, unless there is a graph to search by (`build_graph`),
        no filter, and ``exact`` is false; the similarities are exact even then. Raises `InputError` for a
        query of another length or not finite.
        """
        wanted = self._query(query)
        rows = self._rows
        limit = min(limit, len(rows))
        if limit <= 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        graph = None if exact or allowed is not None else self._fitting_graph(rows)
        if graph is not None:
            numbers, scores = proposed(rows, graph, wanted, limit)
            if len(numbers) == limit:
                return numbers, scores
        return nearest(rows, wanted, limit, allowed=allowed, cores=self._cores)

    @property
    def graph_path(self) -> Path | None:
        """The path of the graph's file, beside the derived file."""
        return None if self.path is None else self.path.with_name(f"{self.path.name}-graph")

    @property
    def graph(self) -> GraphFacts | None:
        """Facts of the graph in use: its source and its measured recall."""
        graph = self._fitting_graph(self._rows)
        return None if graph is None else graph.facts

    def build_graph(self, advance: Callable[[int], None] | None = None) -> GraphFacts | None:
        """Make the graph for approximate search anew, measure its recall and save it, as far as that works.

        Does nothing, and returns ``None``, below ``approximate_from`` rows. It takes minutes for a million
        rows; searches go on meanwhile. Raises `MissingExtraError` without the extra ``ann``.
        """
        rows, generation = self._rows, self.generation
        if len(rows) < max(1, self._approximate_from):
            return None
        made = Graph.build(list(rows.packed()), self._stamped(generation), cores=self._cores, advance=advance)
        made.facts = replace(made.facts, recall=measured_recall(rows, made))
        self._graph = made
        if self.graph_path is not None:
            with contextlib.suppress(OSError, UnfitError):
                made.save(self.graph_path)
                self._graph = Graph.open(self.graph_path)  # the memory of the one just made is free again
        return made.facts

    def _open_graph(self) -> None:
        assert self.graph_path is not None
        with contextlib.suppress(UnfitError):
            graph = Graph.open(self.graph_path)
            stamp = graph.facts.stamp
            if stamp == self._stamped(stamp.generation) and stamp.generation <= self.generation:
                self._graph = graph

    def _fitting_graph(self, rows: Rows) -> Graph | None:
        graph = self._graph
        if graph is None or len(rows) < self._approximate_from:
            return None
        newer = len(rows) - graph.facts.count  # or fewer, if rows were removed
        return graph if newer * _NEW_FOR_GRAPH <= len(rows) else None

    def _query(self, query: NDArray[np.float32]) -> Query:
        dimension = self._stamp.dimension
        if query.shape != (dimension,):
            raise InputError(f"A query must have the shape ({dimension},), got {query.shape}.")
        vectors, usable = prepared(query[None].astype(np.float32, copy=False), self._stamp.similarity)
        if not usable.all():
            raise InputError(f"The query's vector {UNUSABLE}")
        return Query(vectors[0])
