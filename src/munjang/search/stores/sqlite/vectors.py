"""The derived vector matrix of an index, updated from the database to the generation of a snapshot."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from copy import copy
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, StoreError
from munjang.search.vectors.file import Stamp

if TYPE_CHECKING:
    import apsw

    from munjang.search.vectors.matrix import VectorMatrix
    from munjang.search.vectors.scan import Nearest

_SAVED_SHARE = 5  # the file is rewritten when more than 1/5 of it has changed
_SAVED_CHANGES = 1000  # fewer changes are read quickly from the database
_EARLIER = 4  # earlier matrices kept for snapshots still open in other threads
_BLOCK_ROWS = 4096


class DerivedVectors:
    """Nearest-vector search as of a snapshot; ``path`` is the derived file, which can be rebuilt if lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._matrix: VectorMatrix | None = None
        self._identity = ""
        self._earlier: deque[VectorMatrix] = deque(maxlen=_EARLIER)

    def matrix_at(self, connection: apsw.Connection, stamp: Stamp) -> VectorMatrix | None:
        """Return the matrix as of a snapshot, unaffected by later updates.

        ``None`` if other threads have updated it to a newer generation, and the earlier one is not kept.
        """
        with self._lock:
            matrix = self._matrix_at(connection, stamp)
            return None if matrix is None else copy(matrix)  # a shallow copy: updates replace the arrays

    def damage(self) -> list[str]:
        """Read the whole derived file, and return a line for each damaged part."""
        with self._lock:
            return [] if self._matrix is None else self._matrix.damage()

    def describe(self, connection: apsw.Connection, stamp: Stamp) -> dict[str, str]:
        """Return details of the matrix: why its file was stale, and its graph's size and recall."""
        with self._lock:
            matrix = self._matrix or self._open(connection, stamp)
        details = {}
        if matrix.stale:
            details["derived vectors"] = f"are rebuilt: {matrix.stale}"
        if graph := matrix.graph:
            details["graph"] = f"{graph.count} vectors, recall@10 {graph.recall:.3f}"
        return details

    def rebuild(self, connection: apsw.Connection, stamp: Stamp) -> None:
        """Rebuild the matrix and its file, and the graph if there are enough vectors."""
        from munjang.search.vectors.graph import is_installed

        with self._lock:
            self._matrix = None
            with suppress(OSError):
                self.path.unlink()
            matrix = self._matrix_at(connection, stamp)
            assert matrix is not None  # it has the generation of this snapshot
            matrix.save()
        if is_installed():
            matrix.build_graph()

    def close(self) -> None:
        """Release the matrix."""
        with self._lock:
            self._matrix = None
            self._earlier.clear()

    def _matrix_at(self, connection: apsw.Connection, stamp: Stamp) -> VectorMatrix | None:
        if self._matrix is None or self._identity != stamp.identity:
            self._matrix = self._open(connection, stamp)
            self._identity = stamp.identity
            self._earlier.clear()
        matrix = self._matrix
        if matrix.generation > stamp.generation:
            return next((known for known in self._earlier if known.generation == stamp.generation), None)
        if matrix.generation < stamp.generation:
            self._update(matrix, connection, stamp)
        return matrix

    def _open(self, connection: apsw.Connection, stamp: Stamp) -> VectorMatrix:
        from munjang.search.vectors.matrix import VectorMatrix

        matrix = VectorMatrix(
            self.path,
            identity=stamp.identity,
            dimension=stamp.dimension,
            similarity=stamp.similarity,
        )
        if matrix.generation and _last_passage(connection, matrix.generation) is None:
            # The file is newer than the database, or was derived from a diverged copy of this database.
            matrix.clear()
        return matrix

    def _update(self, matrix: VectorMatrix, connection: apsw.Connection, stamp: Stamp) -> None:
        since = matrix.generation
        tombstones = connection.execute("SELECT passage FROM tombstone WHERE generation > ?", (since,))
        removed = [passage for (passage,) in tombstones]
        added = connection.execute(
            "SELECT passage, value FROM vector WHERE passage > ? ORDER BY passage",
            (_last_passage(connection, since) or 0,),
        )
        before = copy(matrix)
        try:
            matrix.update(added, removed, stamp.generation)
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
    last = connection.execute("SELECT last_passage FROM generation WHERE number = ?", (generation,)).get
    return None if last is None else int(last)


def compare_all(
    connection: apsw.Connection,
    stamp: Stamp,
    query: NDArray[np.float32],
    limit: int,
    *,
    allowed: NDArray[np.int64] | None = None,
) -> Nearest:
    """Return the nearest vectors by comparing with every vector in the database, block by block."""
    rows = connection.execute("SELECT passage, value FROM vector ORDER BY passage")
    blocks = [(np.empty(0, np.int64), np.empty(0, np.float32)), *_compared(rows, stamp, query)]
    passages = np.concatenate([block[0] for block in blocks])
    scores = np.concatenate([block[1] for block in blocks])
    if allowed is not None:
        mask = np.isin(passages, allowed)
        passages, scores = passages[mask], scores[mask]
    best = np.lexsort((passages, -scores))[:limit]
    return passages[best], scores[best]


def _compared(
    rows: Iterable[Any], stamp: Stamp, query: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    stream = iter(rows)
    scale = np.linalg.norm(query) if stamp.similarity == "cosine" else 1.0
    while block := list(islice(stream, _BLOCK_ROWS)):
        vectors = np.frombuffer(b"".join(value for _, value in block), dtype="<f4")
        vectors = vectors.reshape(len(block), stamp.dimension)
        scores = vectors @ query
        if stamp.similarity == "cosine":
            lengths = np.linalg.norm(vectors, axis=1) * scale
            scores = scores / np.maximum(lengths, np.finfo(np.float32).tiny)
        yield np.array([passage for passage, _ in block], dtype=np.int64), scores.astype(np.float32)
