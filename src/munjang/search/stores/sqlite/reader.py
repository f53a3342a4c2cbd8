"""`SqliteReader`: reads from one snapshot of an index in SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.errors import IndexMismatchError, StoreBusyError, StoreError
from munjang.search.documents import Document, DocumentId
from munjang.search.filters import Filter
from munjang.search.settings import IndexSettings
from munjang.search.stores.base import Found, Match
from munjang.search.stores.sqlite.connection import translate_errors
from munjang.search.stores.sqlite.encoding import ids_json, read_document, read_id, words_query, write_id
from munjang.search.stores.sqlite.filters import documents_where
from munjang.search.stores.sqlite.schema import State, read_state
from munjang.search.stores.sqlite.vectors import DerivedVectors, compare_all
from munjang.search.vectors.file import Stamp

if TYPE_CHECKING:
    import apsw

_PAGE = 500  # documents in memory at a time
_IDS = 5000  # ids per query

P = ParamSpec("P")
R = TypeVar("R")


def _reading(
    method: Callable[Concatenate[SqliteReader, P], R],
) -> Callable[Concatenate[SqliteReader, P], R]:
    """Wrap a method so that it raises clear errors after the snapshot's end, and if SQLite can't read."""

    @wraps(method)
    def checked_method(self: SqliteReader, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.ended:
            raise StoreError(f"This snapshot of '{self.path}' has ended; take another one.")
        with translate_errors(self.path):
            return method(self, *args, **kwargs)

    return checked_method


class SqliteReader:
    """Reads inside a read transaction of ``connection``, which the caller begins and ends."""

    def __init__(self, connection: apsw.Connection, path: Path, vectors: DerivedVectors) -> None:
        self.connection = connection
        self.path = path
        self.ended = False
        self._vectors = vectors
        # The first statement fixes the transaction's snapshot. If the state is damaged, documents may still
        # be readable, so the error is raised only when the state is needed.
        self._state: State | StoreError
        try:
            with translate_errors(path):
                self._state = read_state(connection)
        except StoreBusyError:
            raise
        except StoreError as error:
            self._state = error

    @property
    def state(self) -> State:
        """The state of the index; raise `StoreError` if it is damaged."""
        if isinstance(self._state, StoreError):
            raise self._state
        return self._state

    @property
    def settings(self) -> IndexSettings | None:
        """The settings of the index; ``None`` before it was created."""
        return self.state.settings

    @property
    def stamp(self) -> Stamp | None:
        """The version of the vectors in the snapshot; ``None`` before the index has settings."""
        state, settings = self.state, self.settings
        if settings is None:
            return None
        return Stamp(state.identity, state.generation, settings.dimension, settings.similarity)

    @_reading
    def get(self, ids: Sequence[DocumentId]) -> dict[DocumentId, Document]:
        """Return the documents with these ids; unknown ids are left out."""
        documents = map(read_document, self._rows("id, fields, metadata, source", ids))
        return {document.id: document for document in documents}

    @_reading
    def digests(self, ids: Sequence[DocumentId]) -> dict[DocumentId, bytes]:
        """Return the digests of the documents with these ids; unknown ids are left out."""
        return {read_id(document): bytes(digest) for document, digest in self._rows("id, digest", ids)}

    def documents(self, where: Filter | None = None) -> Iterator[Document]:
        """Yield the documents in order of first insertion, without keeping all in memory."""
        last = 0
        while page := self._page(where, last):
            yield from (document for _, document in page)
            last = page[-1][0]

    def salvage(self) -> Iterator[tuple[Document, bytes] | None]:
        """Yield each document with its digest, read separately; ``None`` for an unreadable document."""
        for number in self._numbers():
            try:
                document_and_digest = self._numbered(number)
            except StoreError:
                yield None
            else:
                if document_and_digest is not None:
                    yield document_and_digest

    @_reading
    def count(self, where: Filter | None = None) -> int:
        """Count the documents that match a filter, or all documents."""
        condition, values = documents_where(where)
        query = f"SELECT count(*) FROM document WHERE {condition}"  # noqa: S608
        return int(self.connection.execute(query, values).get)

    @_reading
    def semantic(
        self, vector: NDArray[np.float32], limit: int, where: Filter | None = None, *, exact: bool = False
    ) -> list[Match]:
        """Return the passages nearest to a vector ``[d]``, best first; ``exact`` disables approximation."""
        stamp = self.stamp
        if stamp is None or limit < 1:
            return []
        query = np.ascontiguousarray(vector, dtype=np.float32)
        if query.shape != (stamp.dimension,):
            raise IndexMismatchError(
                f"The query's vector has the shape {query.shape}, but '{self.path}' "
                f"has vectors of {stamp.dimension} dimensions."
            )
        allowed = None if where is None else self._allowed(where)
        matrix = self._vectors.matrix_at(self.connection, stamp)
        if matrix is None:
            passages, scores = compare_all(self.connection, stamp, query, limit, allowed=allowed)
        else:
            passages, scores = matrix.search(query, limit, allowed=allowed, exact=exact)
        return list(map(Match, passages.tolist(), scores.tolist()))

    @_reading
    def lexical(self, words: Sequence[str], limit: int, where: Filter | None = None) -> list[Match]:
        """Return the passages that contain any of the words, best first; equal scores by passage number."""
        query = words_query(words)
        if not query or limit < 1:
            return []
        filtered, values = "", list[Any]()
        if where is not None:
            condition, values = documents_where(where)
            filtered = (
                "AND EXISTS (SELECT 1 FROM passage JOIN document ON document.number = passage.document "  # noqa: S608
                f"WHERE passage.number = words.rowid AND {condition})"
            )
        rows = self.connection.execute(
            "SELECT words.rowid, -bm25(words) AS score FROM words WHERE words MATCH ? "  # noqa: S608
            f"{filtered} ORDER BY score DESC, words.rowid LIMIT ?",
            [query, *values, limit],
        )
        return [Match(*row) for row in rows]

    @_reading
    def find(self, passages: Sequence[int]) -> dict[int, Found]:
        """Return the locations of passages by passage number."""
        rows = self.connection.execute(
            'SELECT passage.number, document.id, field, start, "end" '
            "FROM passage JOIN document ON document.number = passage.document "
            "WHERE passage.number IN (SELECT value FROM json_each(?))",
            (json.dumps([int(passage) for passage in passages]),),
        )
        return {number: _found(*location) for number, *location in rows}

    def _rows(self, columns: str, ids: Sequence[DocumentId]) -> Iterable[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM document WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608
        for first in range(0, len(ids), _IDS):
            values = ids_json(map(write_id, ids[first : first + _IDS]))
            yield from self.connection.execute(query, (values,))

    def _numbers(self) -> list[int]:
        """Return the document numbers reachable in the table or in its index by id, from either end."""
        numbers: set[int] = set()
        for order in ("number", "number DESC", "id", "id DESC"):
            with suppress(StoreError), translate_errors(self.path):
                numbers.update(
                    int(row[0])
                    for row in self.connection.execute(f"SELECT number FROM document ORDER BY {order}")  # noqa: S608
                )
        return sorted(numbers)

    @_reading
    def _numbered(self, number: int) -> tuple[Document, bytes] | None:
        query = "SELECT digest, id, fields, metadata, source FROM document WHERE number = ?"
        row = self.connection.execute(query, (number,)).fetchone()
        return None if row is None else (read_document(row[1:]), bytes(row[0]))

    @_reading
    def _page(self, where: Filter | None, last: int) -> list[tuple[int, Document]]:
        condition, values = documents_where(where)
        query = (
            "SELECT number, id, fields, metadata, source FROM document "  # noqa: S608
            f"WHERE number > ? AND {condition} ORDER BY number LIMIT {_PAGE}"
        )
        rows = self.connection.execute(query, [last, *values])
        return [(number, read_document(row)) for number, *row in rows]

    def _allowed(self, where: Filter) -> NDArray[np.int64]:
        """Return the sorted numbers of passages with vectors in the documents that match a filter."""
        condition, values = documents_where(where)
        rows = self.connection.execute(
            "SELECT passage.number FROM document JOIN passage ON passage.document = document.number "  # noqa: S608
            f"WHERE {condition}",
            values,
        )
        return np.sort(np.fromiter((number for (number,) in rows), dtype=np.int64))


def _found(document: str, field: Any, start: Any, end: Any) -> Found:
    if not isinstance(field, str) or not isinstance(start, int) or not isinstance(end, int):
        raise ValueError("the location of a passage has values of wrong types")
    return Found(read_id(document), field, start, end)
