"""The derived vector matrix of an index, updated from the database to the generation of a snapshot."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, StoreError
from munjang.search.stores.base import IndexSettings, Match

if TYPE_CHECKING:
    import apsw

    from munjang.search.vectors.matrix import VectorMatrix

__all__ = ["DerivedVectors", "Moment", "compare_all"]

_SAVED_SHARE = 5  # the file is rewritten when more than 1/5 of it has changed
_SAVED_CHANGES = 1000  # fewer changes are read quickly from the database
_EARLIER = 4  # earlier matrices kept for snapshots still open in other threads
_BLOCK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Moment:
    """The version that a snapshot reads: the database's identity, its generation and its settings."""

    identity: str
    generation: int
    settings: IndexSettings


class DerivedVectors:
    """Nearest-vector search as of a snapshot; ``path`` is the derived file, which can be rebuilt if lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._matrix: VectorMatrix | None = None
        self._identity = ""
        self._earlier: deque[VectorMatrix] = deque(maxlen=_EARLIER)

    def search(
        self,
        connection: apsw.Connection,
        moment: Moment,
        query: NDArray[np.float32],
        limit: int,
        *,
        allowed: NDArray[np.int64] | None = None,
        exact: bool = False,
    ) -> list[Match]:
        """Return the passages nearest to ``query [d]`` among all, or among the ``allowed`` passages."""
        with self._lock:
            matrix = self._matrix_at(connection, moment)
            if matrix is not None:
                return _matches(*matrix.search(query, limit, allowed=allowed, exact=exact))
        # Other threads have already updated the matrix to a newer generation than this snapshot's.
        return compare_all(connection, moment, query, limit, allowed=allowed)

    def count(self, connection: apsw.Connection, moment: Moment) -> int | None:
        """Return the number of vectors as of a snapshot; ``None`` when the matrix is newer."""
        with self._lock:
            matrix = self._matrix_at(connection, moment)
            return None if matrix is None else len(matrix)

    def damage(self) -> list[str]:
        """Read the whole derived file, and return a line for each damaged part."""
        with self._lock:
            return [] if self._matrix is None else self._matrix.damage()

    def describe(self, connection: apsw.Connection, moment: Moment) -> dict[str, str]:
        """Return details of the matrix: why its file was stale, and its graph's size and recall."""
        with self._lock:
            matrix = self._matrix or self._open(connection, moment)
        facts = matrix.graph
        return {
            **({"derived vectors": f"are made anew: {matrix.unfit}"} if matrix.unfit else {}),
            **({"graph": f"{facts.count} vectors, recall@10 {facts.recall:.3f}"} if facts else {}),
        }

    def rebuild(self, connection: apsw.Connection, moment: Moment) -> None:
        """Rebuild the matrix and its file, and the graph if there are enough vectors."""
        from munjang.search.vectors.graph import is_there

        with self._lock:
            self._matrix = None
            with suppress(OSError):
                self.path.unlink()
            matrix = self._matrix_at(connection, moment)
            assert matrix is not None  # it has the generation of this snapshot
            matrix.save()
        if is_there():
            matrix.build_graph()

    def close(self) -> None:
        """Release the matrix."""
        with self._lock:
            self._matrix = None
            self._earlier.clear()

    def _matrix_at(self, connection: apsw.Connection, moment: Moment) -> VectorMatrix | None:
        if self._matrix is None or self._identity != moment.identity:
            self._matrix = self._open(connection, moment)
            self._identity = moment.identity
            self._earlier.clear()
        matrix = self._matrix
        if matrix.generation > moment.generation:
            return next((one for one in self._earlier if one.generation == moment.generation), None)
        if matrix.generation < moment.generation:
            self._update(matrix, connection, moment)
        return matrix

    def _open(self, connection: apsw.Connection, moment: Moment) -> VectorMatrix:
        from munjang.search.vectors.matrix import VectorMatrix

        matrix = VectorMatrix(
            self.path,
            identity=moment.identity,
            dimension=moment.settings.dimension,
            similarity=moment.settings.similarity,
        )
        if matrix.generation and _last_passage(connection, matrix.generation) is None:
            # The file is newer than the database, or was derived from a diverged copy of this database.
            matrix.clear()
        return matrix

    def _update(self, matrix: VectorMatrix, connection: apsw.Connection, moment: Moment) -> None:
        since = matrix.generation
        gone = connection.execute("SELECT passage FROM tombstone WHERE generation > ?", (since,))
        removed = [passage for (passage,) in gone]
        added = connection.execute(
            "SELECT passage, value FROM vector WHERE passage > ? ORDER BY passage",
            (_last_passage(connection, since) or 0,),
        )
        before = copy(matrix)  # a shallow copy: an update replaces the arrays and does not change them
        try:
            matrix.update(added, removed, moment.generation)
        except InputError as error:
            self._matrix = None
            raise StoreError(f"The index beside '{self.path}' is damaged: {error}") from error
        except BaseException:
            self._matrix = None  # partly updated
            raise
        self._earlier.append(before)
        if matrix.unsaved > max(_SAVED_CHANGES, len(matrix) // _SAVED_SHARE):
            matrix.save()


def _last_passage(connection: apsw.Connection, generation: int) -> int | None:
    """Return the highest passage number as of a generation; ``None`` for an unknown generation."""
    found = connection.execute("SELECT last_passage FROM generation WHERE number = ?", (generation,)).get
    return None if found is None else int(found)


def _matches(passages: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Match]:
    return [Match(*pair) for pair in zip(passages.tolist(), scores.tolist(), strict=True)]


def compare_all(
    connection: apsw.Connection,
    moment: Moment,
    query: NDArray[np.float32],
    limit: int,
    *,
    allowed: NDArray[np.int64] | None = None,
) -> list[Match]:
    """Return the nearest vectors by comparing with every vector in the database, block by block."""
    rows = connection.execute("SELECT passage, value FROM vector ORDER BY passage")
    blocks = list(_compared(rows, moment.settings, query))
    if not blocks:
        return []
    passages = np.concatenate([block[0] for block in blocks])
    scores = np.concatenate([block[1] for block in blocks])
    if allowed is not None:
        chosen = np.isin(passages, allowed)
        passages, scores = passages[chosen], scores[chosen]
    best = np.lexsort((passages, -scores))[:limit]
    return _matches(passages[best], scores[best])


def _compared(
    rows: Iterable[Any], settings: IndexSettings, query: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    stream = iter(rows)
    scale = np.linalg.norm(query) if settings.similarity == "cosine" else 1.0
    while block := list(islice(stream, _BLOCK_ROWS)):
        vectors = np.frombuffer(b"".join(value for _, value in block), dtype="<f4")
        vectors = vectors.reshape(len(block), settings.dimension)
        scores = vectors @ query
        if settings.similarity == "cosine":
            lengths = np.linalg.norm(vectors, axis=1) * scale
            scores = scores / np.maximum(lengths, np.finfo(np.float32).tiny)
        yield np.array([passage for passage, _ in block], dtype=np.int64), scores.astype(np.float32)
