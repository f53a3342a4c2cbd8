"""`VectorMatrix`: all vectors of one index, made from its database, searched exactly."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from munjang.backends.cores import available_cores
from munjang.errors import InputError
from munjang.search.approximate import Graph, GraphFacts, is_there
from munjang.search.vector_file import Stamp, UnfitError, VectorFile, write_segments
from munjang.search.vector_scan import Query, Scored, best, joined, products, scan, score
from munjang.search.vector_segment import Segment, quantize, rows_per_segment

__all__ = ["VectorMatrix"]

_LOOSE_ROWS = 4096  # newest rows that are kept as they are; more are made into a segment
_UNSAVED_ROWS = 2**16  # a long update saves what it has when it holds more in memory, and half of the file
_FEW = 50  # up to one row in so many is scored in full right away; more are worth a scan
_LONGEST = 1e18  # a vector longer than this could have a product that float32 can't hold
_MOST_FULL_ROWS = 4096
_APPROXIMATE_FROM = 500_000  # rows; exact search of so many takes some 10 ms
_NEW_FOR_GRAPH = 5  # a graph is used while at most one row in so many is newer than it
_PROBES = 200  # queries by which a graph's recall is measured


@dataclass(frozen=True)
class _Rows:
    """What the matrix holds at one moment; searches keep the moment that they began with.

    ``stored`` counts the segments that are in the file, the first ones. ``numbers`` and ``vectors`` are the
    newest rows, not yet in a segment.
    """

    segments: tuple[Segment, ...]
    numbers: NDArray[np.int64]
    vectors: NDArray[np.float32]
    stored: int = 0

    def __len__(self) -> int:
        return sum(len(segment) for segment in self.segments) + len(self.numbers)

    @property
    def last(self) -> int | None:
        """The highest number, whether its row was removed or not."""
        if len(self.numbers):
            return int(self.numbers[-1])
        return int(self.segments[-1].numbers[-1]) if self.segments else None


class VectorMatrix:
    """The vectors ``[n, d]`` of one index, by passage number.

    Args:
        path: the derived file; ``None`` keeps everything in memory. A file that is damaged, or of another
            database, dimension or similarity, is passed over and replaced by the next `save`.
        identity: of the database that the vectors come from.
        dimension: of the vectors.
        similarity: ``cosine``, for which vectors are brought to length one, or ``dot``.
        approximate_from: from so many rows on, searches use the graph that `build_graph` made, if it did.

    Attributes:
        generation: the generation of the database that it shows, 0 when it is empty.
        unfit: why the file was passed over, or ``None``.

    Searches may run in several threads, also while another updates or saves.
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
        self._rows = self._nothing()
        if path is not None and self._open(path) and len(self) >= approximate_from and is_there():
            self._open_graph()

    def _nothing(self) -> _Rows:
        dimension = self._stamp.dimension
        return _Rows((), np.empty(0, dtype=np.int64), np.empty((0, dimension), dtype=np.float32))

    def _open(self, path: Path) -> bool:
        """Read from the file from now on, if it fits; say whether it does."""
        try:
            file = VectorFile(path)
        except UnfitError as error:
            self.unfit = None if isinstance(error.__cause__, FileNotFoundError) else str(error)
            return False
        if self._stamped(file.stamp.generation) != file.stamp:
            self.unfit = f"belongs to something else: {file.stamp}"
            return False
        empty = self._nothing()
        self._rows = _Rows(tuple(file.segments), empty.numbers, empty.vectors, len(file.segments))
        self.generation, self.unfit = file.stamp.generation, None
        return True

    def _stamped(self, generation: int) -> Stamp:
        stamp = self._stamp
        return Stamp(stamp.identity, generation, stamp.dimension, stamp.similarity)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def unsaved(self) -> int:
        """How many rows differ from the file: new ones, and those of the file that were removed."""
        rows = self._rows
        new = sum(len(segment) for segment in rows.segments[rows.stored :]) + len(rows.numbers)
        return new + sum(len(one.numbers) - len(one) for one in rows.segments[: rows.stored])

    def clear(self) -> None:
        """Forget everything, as when the file turns out to be newer than a database that was restored."""
        with self._lock:
            self._rows, self.generation, self._graph = self._nothing(), 0, None

    def update(self, added: Iterable[tuple[int, bytes]], removed: Sequence[int], generation: int) -> None:
        """Add rows, ``d`` little-endian float32 each, in the order of their numbers; then remove some.

        Numbers that are there are not added again, those that are not there not removed, so that what was
        cut off may be repeated; a number that was removed never comes back. Raises `InputError` for a vector
        of another length or with a component that is not finite, and for a new number that is lower than one
        before it; what came before it stays, under the old generation.
        """
        with self._lock:
            source = iter(added)
            while chunk := list(itertools.islice(source, rows_per_segment(self._stamp.dimension))):
                self._add(chunk)
                self._save_if_long()
            if len(removed):
                self._rows = self._without(np.unique(np.asarray(removed, dtype=np.int64)))
            self.generation = generation

    def _add(self, chunk: Sequence[tuple[int, bytes]]) -> None:
        rows = self._rows
        new = self._new(chunk)
        if not new:
            return
        numbers, vectors = self._decoded(new)
        numbers = np.concatenate((rows.numbers, numbers))
        vectors = np.concatenate((rows.vectors, vectors))
        segments = rows.segments
        if len(numbers) >= _LOOSE_ROWS:
            most = rows_per_segment(self._stamp.dimension)
            starts = range(0, len(numbers), most)
            segments += tuple(quantize(numbers[i : i + most], vectors[i : i + most]) for i in starts)
            numbers, vectors = numbers[:0], vectors[:0]
        self._rows = _Rows(segments, numbers, vectors, rows.stored)

    def _new(self, chunk: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, bytes]]:
        """Leave out the rows that are there, and see that the others' numbers grow."""
        last = self._rows.last
        if last is not None and chunk[0][0] <= last:
            chunk = self._unknown(chunk)
        numbers = ([] if last is None else [last]) + [number for number, _ in chunk]
        for before, number in itertools.pairwise(numbers):
            if number <= before:
                raise InputError(f"Passage {number} comes after passage {before}; numbers must grow.")
        return chunk

    def _unknown(self, chunk: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, bytes]]:
        numbers = np.array([number for number, _ in chunk], dtype=np.int64)
        known = np.isin(numbers, self._rows.numbers)
        for segment in self._rows.segments:
            known |= np.isin(numbers, segment.numbers)
        return list(itertools.compress(chunk, ~known))

    def _decoded(self, rows: Sequence[tuple[int, bytes]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        dimension = self._stamp.dimension
        for number, blob in rows:
            if len(blob) != 4 * dimension:
                raise InputError(
                    f"The vector of passage {number} has {len(blob)} bytes, not 4 for each of {dimension}."
                )
        vectors = np.frombuffer(b"".join(blob for _, blob in rows), dtype="<f4").reshape(-1, dimension)
        numbers = np.array([number for number, _ in rows], dtype=np.int64)
        prepared, usable = _prepared(vectors, self._stamp.similarity)
        if not usable.all():
            number = numbers[np.argmin(usable)]
            raise InputError(f"The vector of passage {number} {_UNUSABLE}")
        return numbers, prepared

    def _without(self, removed: NDArray[np.int64]) -> _Rows:
        rows = self._rows
        segments = tuple(segment.without(removed) for segment in rows.segments)
        kept = ~np.isin(rows.numbers, removed)
        return _Rows(segments, rows.numbers[kept], rows.vectors[kept], rows.stored)

    def _save_if_long(self) -> None:
        new = sum(len(one.numbers) for one in self._rows.segments[self._rows.stored :])
        old = sum(len(one.numbers) for one in self._rows.segments[: self._rows.stored])
        if new > max(_UNSAVED_ROWS, old // 2):
            self.save()

    def save(self) -> bool:
        """Write the file in one step, and read from it from now on; say whether that went well.

        A folder that can't be written to or a full disk leaves everything as it was, in memory.
        """
        with self._lock:
            if self.path is None:
                return False
            try:
                write_segments(self.path, self._stamped(self.generation), self._packed())
            except OSError:
                return False
            return self._open(self.path)

    def damage(self) -> list[str]:
        """Read the whole file, and give a line for each part of it that is not what was written.

        Opening checks everything but the codes and the vectors. What is damaged goes with `clear`, a new
        `update` and a `save`.
        """
        if self.path is None or not self._rows.stored:
            return []
        try:
            return [f"'{self.path}': {line}." for line in VectorFile(self.path).damage()]
        except UnfitError as error:
            return [f"'{self.path}' {error}."]

    def _packed(self) -> Iterator[Segment]:
        """Give the segments without removed rows, small ones after one another made into one."""
        most = rows_per_segment(self._stamp.dimension)
        waiting: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        for segment in filter(None, (one.compact() for one in self._rows.segments)):
            if sum(len(numbers) for numbers, _ in waiting) + len(segment) > most:
                yield from _merged(waiting)
                waiting = []
            if not waiting and 2 * len(segment) > most:
                yield segment
            else:
                waiting.append((segment.numbers, segment.vectors))
        waiting.append((self._rows.numbers, self._rows.vectors))
        yield from _merged(waiting)

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
            numbers, scores = _proposed(rows, graph, wanted, limit)
            if len(numbers) == limit:
                return numbers, scores
        loose = _loose(rows, wanted, allowed)
        if allowed is not None and len(allowed) * _FEW <= len(rows):
            return best([loose, *_scored(rows.segments, wanted, allowed)], limit)
        masks = None if allowed is None else [_mask(segment, allowed) for segment in rows.segments]
        found = scan(rows.segments, wanted, limit, masks=masks, cores=self._cores)
        return best([loose, found], limit)

    @property
    def graph_path(self) -> Path | None:
        """Where the graph is kept: beside the derived file."""
        return None if self.path is None else self.path.with_name(f"{self.path.name}-graph")

    @property
    def graph(self) -> GraphFacts | None:
        """What the graph in use was made from, and its measured recall."""
        graph = self._fitting_graph(self._rows)
        return None if graph is None else graph.facts

    def build_graph(self, advance: Callable[[int], None] | None = None) -> GraphFacts | None:
        """Make the graph for approximate search anew, measure its recall and save it, as far as that works.

        Does nothing, and gives ``None``, below ``approximate_from`` rows. It takes minutes for a million
        rows; searches go on meanwhile. Raises `MissingExtraError` without the extra ``ann``.
        """
        rows, generation = self._rows, self.generation
        if len(rows) < max(1, self._approximate_from):
            return None
        segments = (*rows.segments, *_merged([(rows.numbers, rows.vectors)]))
        made = Graph.build(segments, self._stamped(generation), cores=self._cores, advance=advance)
        made.facts = replace(made.facts, recall=_recall(rows, made))
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

    def _fitting_graph(self, rows: _Rows) -> Graph | None:
        graph = self._graph
        if graph is None or len(rows) < self._approximate_from:
            return None
        newer = len(rows) - graph.facts.count  # or fewer, if rows were removed
        return graph if newer * _NEW_FOR_GRAPH <= len(rows) else None

    def _query(self, query: NDArray[np.float32]) -> Query:
        dimension = self._stamp.dimension
        if query.shape != (dimension,):
            raise InputError(f"A query must have the shape ({dimension},), got {query.shape}.")
        vectors, usable = _prepared(query[None].astype(np.float32, copy=False), self._stamp.similarity)
        if not usable.all():
            raise InputError(f"The query's vector {_UNUSABLE}")
        return Query(vectors[0])


_UNUSABLE = f"has a component that is not finite, or is longer than {_LONGEST:.0e}; it can't be compared."


def _prepared(vectors: NDArray[np.float32], similarity: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Give rows as they are compared, and which of them can be: of length one (or zero) for cosine."""
    lengths = np.empty(len(vectors))
    for start in range(0, len(vectors), _MOST_FULL_ROWS):
        part = slice(start, start + _MOST_FULL_ROWS)
        lengths[part] = np.linalg.norm(vectors[part].astype(np.float64), axis=1)
    if similarity == "dot":
        return vectors.astype(np.float32), lengths <= _LONGEST  # false for NaN too
    usable = np.isfinite(lengths)
    uneven = np.flatnonzero(usable & (lengths > 0) & (np.abs(lengths - 1) > 1e-7))
    prepared = vectors.astype(np.float32)
    for start in range(0, len(uneven), _MOST_FULL_ROWS):
        rows = uneven[start : start + _MOST_FULL_ROWS]
        prepared[rows] = vectors[rows].astype(np.float64) / lengths[rows, None]
    return prepared, usable


def _merged(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> Iterator[Segment]:
    if any(len(numbers) for numbers, _ in parts):
        yield quantize(
            np.concatenate([numbers for numbers, _ in parts]), np.concatenate([rows for _, rows in parts])
        )


def _proposed(
    rows: _Rows, graph: Graph, query: Query, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Score in full what a graph proposes, and find what is newer than it exactly."""
    last, proposed = graph.facts.last, graph.propose(query.vector, limit)
    parts = list(_scored(rows.segments, query, proposed))
    newer = [segment for segment in rows.segments if segment.numbers[-1] > last]
    masks = [segment.numbers > last for segment in newer]
    parts.append(scan(newer, query, limit, masks=masks))
    parts.append(_loose(rows, query, None))
    return best(parts, limit)


def _recall(rows: _Rows, graph: Graph) -> float:
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
        exact, _ = best([_loose(rows, query, None), scan(rows.segments, query, limit)], limit)
        found, _ = _proposed(rows, graph, query, limit)
        shares.append(len(np.intersect1d(exact, found)) / limit)
    return float(np.mean(shares))


def _loose(rows: _Rows, query: Query, allowed: NDArray[np.int64] | None) -> Scored:
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
