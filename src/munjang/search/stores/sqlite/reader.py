"""`SqliteReader`: reads from one snapshot of an index in SQLite."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.errors import IndexMismatchError, StoreBusyError, StoreError
from munjang.search.documents import Document, DocumentId
from munjang.search.filters import Filter
from munjang.search.settings import read_settings
from munjang.search.stores.base import Found, IndexSettings, Match, check_form
from munjang.search.stores.sqlite.connection import explained
from munjang.search.stores.sqlite.filters import compact_json, condition_of
from munjang.search.stores.sqlite.vectors import DerivedVectors, Moment

if TYPE_CHECKING:
    import apsw

__all__ = ["SqliteReader", "id_json", "joined", "lexical"]

_MOST_WORDS = 128  # maximum number of words of a query, the longest words; more cost time for little gain
_LONGEST_WORD = 1000
_CAPITALS = re.compile("[A-Z]")
_SPLITTING = re.compile("[\x00-\x20\x7f\ud800-\udfff]")  # the tokenizer splits here; or lone surrogates


def joined(words: Sequence[str]) -> str:
    """Return the text to index for a list of words."""
    return _marked(" ".join(words))


def _marked(text: str) -> str:
    """Mark capitals, since the tokenizer folds A-Z to a-z, but the analyzer's words are case-sensitive."""
    return _CAPITALS.sub("\ue000\\g<0>", text)


def lexical(
    connection: apsw.Connection, words: Sequence[str], limit: int, where: Filter | None
) -> list[Match]:
    """Return the passages that contain any of the words, best first; for equal scores the older first."""
    expression = _expression(words)
    if not expression or limit < 1:
        return []
    condition, values = condition_of(where)
    filtered = (
        "AND EXISTS (SELECT 1 FROM passage JOIN document ON document.number = passage.document "  # noqa: S608
        f"WHERE passage.number = words.rowid AND {condition})"
    )
    found = connection.execute(
        "SELECT words.rowid, -bm25(words) AS score FROM words WHERE words MATCH ? "  # noqa: S608
        f"{filtered if where is not None else ''} ORDER BY score DESC, words.rowid LIMIT ?",
        [expression, *(values if where is not None else ()), limit],
    )
    return [Match(*row) for row in found]


def _expression(words: Sequence[str]) -> str:
    """Return an FTS5 query of quoted words; inside quotes only the quote character is special."""
    distinct = [word for word in dict.fromkeys(words) if _can_be_indexed(word)]
    if len(distinct) > _MOST_WORDS:
        distinct = sorted(distinct, key=len, reverse=True)[:_MOST_WORDS]
    return " OR ".join('"' + _marked(word).replace('"', '""') + '"' for word in distinct)


def _can_be_indexed(word: str) -> bool:
    """Return whether the tokenizer keeps this word whole, and SQLite can store it as text."""
    return 0 < len(word) <= _LONGEST_WORD and _SPLITTING.search(word) is None


_PAGE = 500  # documents in memory at a time
_IDS = 5000  # ids per query

P = ParamSpec("P")
R = TypeVar("R")


def id_json(identifier: DocumentId) -> str:
    """Return an id as stored JSON, in which 17 and "17" stay different."""
    return compact_json(identifier)


def _reading(
    method: Callable[Concatenate[SqliteReader, P], R],
) -> Callable[Concatenate[SqliteReader, P], R]:
    """Wrap a method so that it raises clear errors after the snapshot's end, and if SQLite can't read."""

    @wraps(method)
    def explained_method(self: SqliteReader, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.ended:
            raise StoreError(f"This snapshot of '{self.path}' has ended; take another one.")
        with explained(self.path):
            return method(self, *args, **kwargs)

    return explained_method


class SqliteReader:
    """Reads inside a read transaction of ``connection``, which the caller begins and ends."""

    def __init__(self, connection: apsw.Connection, path: Path, vectors: DerivedVectors) -> None:
        self.connection = connection
        self.path = path
        self.ended = False
        self._vectors = vectors
        # The first statement fixes the transaction's snapshot. If the state is damaged, documents may still
        # be readable, so the error is raised only when the state is needed.
        self._state: tuple[str, int, str | None] | StoreError
        try:
            with explained(path):
                self._state = _read_state(connection)
        except StoreBusyError:
            raise
        except StoreError as error:
            self._state = error

    def _stated(self) -> tuple[str, int, str | None]:
        if isinstance(self._state, StoreError):
            raise self._state
        return self._state

    @property
    def identity(self) -> str:
        """The identity of the database."""
        return self._stated()[0]

    @property
    def generation(self) -> int:
        """The generation of the database, increased by every write."""
        return self._stated()[1]

    @cached_property
    def settings(self) -> IndexSettings | None:
        """The settings of the index; ``None`` before it was created."""
        settings = self._stated()[2]
        return None if settings is None else read_settings(settings)

    @property
    def moment(self) -> Moment | None:
        """The snapshot's identity, generation and settings; ``None`` before the index has settings."""
        return None if self.settings is None else Moment(self.identity, self.generation, self.settings)

    @_reading
    def get(self, ids: Sequence[DocumentId]) -> dict[DocumentId, Document]:
        """Return the documents with these ids; unknown ids are left out."""
        documents = map(_document, self._rows("id, fields, metadata, source", ids))
        return {document.id: document for document in documents}

    @_reading
    def digests(self, ids: Sequence[DocumentId]) -> dict[DocumentId, bytes]:
        """Return the digests of the documents with these ids; unknown ids are left out."""
        return {_id(identifier): bytes(digest) for identifier, digest in self._rows("id, digest", ids)}

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
                found = self._numbered(number)
            except StoreError:
                yield None
            else:
                if found is not None:
                    yield found

    @_reading
    def ids_of_source(self, source: str) -> list[DocumentId]:
        """Return the ids of the documents that were read from a file."""
        found = self.connection.execute("SELECT id FROM document WHERE source = ? ORDER BY number", (source,))
        return [_id(identifier) for (identifier,) in found]

    @_reading
    def count(self, where: Filter | None = None) -> int:
        """Count the documents that match a filter, or all documents."""
        condition, values = condition_of(where)
        query = f"SELECT count(*) FROM document WHERE {condition}"  # noqa: S608
        return int(self.connection.execute(query, values).get)

    @_reading
    def semantic(
        self, vector: NDArray[np.float32], limit: int, where: Filter | None = None, *, exact: bool = False
    ) -> list[Match]:
        """Return the passages nearest to a vector ``[d]``, best first; ``exact`` disables approximation."""
        moment = self.moment
        if moment is None or limit < 1:
            return []
        query = np.ascontiguousarray(vector, dtype=np.float32)
        if query.shape != (moment.settings.dimension,):
            raise IndexMismatchError(
                f"The query's vector has the shape {query.shape}, but '{self.path}' "
                f"has vectors of {moment.settings.dimension} dimensions."
            )
        allowed = None if where is None else self._allowed(where)
        return self._vectors.search(self.connection, moment, query, limit, allowed=allowed, exact=exact)

    @_reading
    def lexical(self, words: Sequence[str], limit: int, where: Filter | None = None) -> list[Match]:
        """Return the passages that contain any of the words, best first; a higher score is better."""
        return lexical(self.connection, words, limit, where)

    @_reading
    def find(self, passages: Sequence[int]) -> dict[int, Found]:
        """Return the locations of passages by passage number."""
        rows = self.connection.execute(
            'SELECT passage.number, document.id, field, start, "end" '
            "FROM passage JOIN document ON document.number = passage.document "
            "WHERE passage.number IN (SELECT value FROM json_each(?))",
            (json.dumps([int(passage) for passage in passages]),),
        )
        return {number: _found(*place) for number, *place in rows}

    @_reading
    def waiting(self, limit: int) -> list[Document]:
        """Return documents not yet staged in a migration."""
        rows = self.connection.execute(
            "SELECT id, fields, metadata, source FROM waiting JOIN document ON number = waiting.document "
            "ORDER BY waiting.document LIMIT ?",
            (max(limit, 0),),
        )
        return [_document(row) for row in rows]

    def _rows(self, columns: str, ids: Sequence[DocumentId]) -> Iterable[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM document WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608
        for first in range(0, len(ids), _IDS):
            wanted = compact_json([id_json(one) for one in ids[first : first + _IDS]])
            yield from self.connection.execute(query, (wanted,))

    def _numbers(self) -> list[int]:
        """Return the document numbers reachable in the table or in its index by id, from either end."""
        numbers: set[int] = set()
        for order in ("number", "number DESC", "id", "id DESC"):
            with suppress(StoreError), explained(self.path):
                numbers.update(
                    int(row[0])
                    for row in self.connection.execute(f"SELECT number FROM document ORDER BY {order}")  # noqa: S608
                )
        return sorted(numbers)

    @_reading
    def _numbered(self, number: int) -> tuple[Document, bytes] | None:
        query = "SELECT digest, id, fields, metadata, source FROM document WHERE number = ?"
        row = self.connection.execute(query, (number,)).fetchone()
        return None if row is None else (_document(row[1:]), bytes(row[0]))

    @_reading
    def _page(self, where: Filter | None, last: int) -> list[tuple[int, Document]]:
        condition, values = condition_of(where)
        query = (
            "SELECT number, id, fields, metadata, source FROM document "  # noqa: S608
            f"WHERE number > ? AND {condition} ORDER BY number LIMIT {_PAGE}"
        )
        found = self.connection.execute(query, [last, *values])
        return [(number, _document(row)) for number, *row in found]

    def _allowed(self, where: Filter) -> NDArray[np.int64]:
        """Return the sorted numbers of passages with vectors in the documents that match a filter."""
        condition, values = condition_of(where)
        rows = self.connection.execute(
            "SELECT passage.number FROM document JOIN passage ON passage.document = document.number "  # noqa: S608
            f"WHERE {condition}",
            values,
        )
        return np.sort(np.fromiter((number for (number,) in rows), dtype=np.int64))


def _read_state(connection: apsw.Connection) -> tuple[str, int, str | None]:
    row = connection.execute("SELECT identity, generation, settings FROM state").fetchone()
    if row is None:
        raise ValueError("it has no state")
    identity, generation, settings = row
    if not isinstance(identity, str) or not isinstance(generation, int):
        raise ValueError("its state is of another form")
    return identity, generation, None if settings is None else str(settings)


def _id(text: str) -> DocumentId:
    identifier = json.loads(text)
    if isinstance(identifier, bool) or not isinstance(identifier, int | str):
        raise ValueError("an id is neither a number nor a text")
    return identifier


def _found(identifier: str, field: Any, start: Any, end: Any) -> Found:
    if not isinstance(field, str) or not isinstance(start, int) or not isinstance(end, int):
        raise ValueError("a passage's place is of another form")
    return Found(_id(identifier), field, start, end)


def _document(row: Sequence[Any]) -> Document:
    identifier, fields, metadata, source = row
    return check_form(
        Document(id=_id(identifier), fields=json.loads(fields), metadata=json.loads(metadata), source=source)
    )
