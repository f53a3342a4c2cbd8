"""Reads from one snapshot of an index in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.errors import IndexMismatchError, StoreError
from munjang.search.documents import Document, DocumentId
from munjang.search.filters import Filter
from munjang.search.settings import IndexSettings
from munjang.search.stores.base import Found, Match
from munjang.search.stores.postgres.connection import Connection, Session
from munjang.search.stores.postgres.encoding import (
    id_key,
    read_document,
    read_id,
    read_vectors,
    unescaped,
    vector_text,
    words_query,
)
from munjang.search.stores.postgres.filters import documents_where, only_documents
from munjang.search.stores.postgres.schema import Layout, State

_MOST_WORDS = 128  # maximum number of words of a query, the longest words; more cost time for little gain
_FREQUENT = 1.64493406685  # pi^2/6; ts_rank divides by it
_SATURATION, _LENGTH = 1.2, 0.75  # the usual k1 and b of BM25
_PAGE = 500  # documents per fetch
_SPARE = 16  # candidates beyond the limit, since the server rounds close scores differently
_CANDIDATES = (100, 1000)  # of HNSW (ef_search): the minimum for a good recall, and pgvector's maximum

P = ParamSpec("P")
R = TypeVar("R")


def _reading(
    method: Callable[Concatenate[PostgresReader, P], R],
) -> Callable[Concatenate[PostgresReader, P], R]:
    """Wrap a method so that it raises clear errors after the snapshot's end, and for damaged values."""

    @wraps(method)
    def checked_method(self: PostgresReader, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self._check_open()
        with self._session.translate_errors():
            return method(self, *args, **kwargs)

    return checked_method


class PostgresReader:
    """A `Reader` within one transaction."""

    def __init__(self, session: Session, connection: Connection, state: State, exact_below: int) -> None:
        self._session = session
        self._connection = connection
        self._state = state
        self._exact_below = exact_below
        self.ended = False

    @property
    def settings(self) -> IndexSettings | None:
        """The settings of the index; ``None`` before it was created."""
        return self._state.layout.settings if self._state.layout else None

    @_reading
    def get(self, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Document]:
        """Return the documents with these ids; unknown ids are left out."""
        rows = self._rows("SELECT id, source, body FROM documents WHERE key = ANY(%s)", [_keys(ids)])
        return {document.id: document for document in (read_document(*row) for row in rows)}

    @_reading
    def digests(self, ids: Sequence[DocumentId]) -> Mapping[DocumentId, bytes]:
        """Return the digests of the documents with these ids; unknown ids are left out."""
        rows = self._rows("SELECT id, digest FROM documents WHERE key = ANY(%s)", [_keys(ids)])
        return {read_id(row[0]): row[1] for row in rows}

    def documents(self, where: Filter | None = None) -> Iterator[Document]:
        """Yield the documents in order of first insertion."""
        text, values = documents_where(where)
        last = 0
        while True:
            rows = self._rows(
                f"SELECT number, id, source, body FROM documents WHERE number > %s AND ({text}) "  # noqa: S608
                "ORDER BY number LIMIT %s",
                [last, *values, _PAGE],
            )
            for number, *row in rows:
                last = number
                with self._session.translate_errors():
                    document = read_document(*row)
                yield document
            if len(rows) < _PAGE:
                return

    def salvage(self) -> Iterator[tuple[Document, bytes] | None]:
        """Yield each document with its digest; ``None`` for an unreadable document."""
        last = 0
        while rows := self._rows(
            "SELECT number, id, source, body, digest FROM documents WHERE number > %s "
            "ORDER BY number LIMIT %s",
            [last, _PAGE],
        ):
            for number, *row, digest in rows:
                last = number
                try:
                    with self._session.translate_errors():
                        document = read_document(*row)
                except StoreError:
                    yield None
                else:
                    yield document, digest

    @_reading
    def count(self, where: Filter | None = None) -> int:
        """Count the documents that match a filter, or all documents."""
        if where is None:
            return self._state.documents
        text, values = documents_where(where)
        return int(self._rows(f"SELECT count(*) FROM documents WHERE {text}", values)[0][0])  # noqa: S608

    @_reading
    def semantic(
        self, vector: NDArray[np.float32], limit: int, where: Filter | None = None, *, exact: bool = False
    ) -> Sequence[Match]:
        """Return the passages nearest to a vector ``[d]``, best first, with exact float32 scores.

        The search is exact for few vectors, and if HNSW finds too few passages, such as with a filter that
        few documents match.
        """
        layout = self._state.layout
        if layout is None or limit < 1 or not layout.vectors:
            return []
        query = np.asarray(vector, dtype=np.float32)
        if query.shape != (layout.settings.dimension,):
            raise IndexMismatchError(
                f"The query's vector has the shape {query.shape}, but the index ({self._session.location}) "
                f"has vectors of {layout.settings.dimension} dimensions."
            )
        small = layout.vectors <= self._exact_below
        candidates: list[tuple[int, bytes]] = []
        if not (exact or small or layout.indexed is None or not query.any()):
            candidates = self._nearest(layout, query, limit, where, exact=False)
        if len(candidates) < min(limit, layout.vectors):
            candidates = self._nearest(layout, query, limit, where, exact=True)
        return _best(layout, query, candidates)[:limit]

    @_reading
    def lexical(self, words: Sequence[str], limit: int, where: Filter | None = None) -> Sequence[Match]:
        """Return the passages that contain any of the words, best first; equal scores by passage number."""
        layout = self._state.layout
        distinct = sorted(filter(None, dict.fromkeys(words)), key=len, reverse=True)[:_MOST_WORDS]
        if layout is None or limit < 1 or not distinct or not layout.words:
            return []
        query, values = _ranked_words(layout, distinct, limit, where)
        rows = self._connection.execute(query.encode(), values).fetchall()
        return [Match(int(number), float(score)) for number, score in rows]

    @_reading
    def find(self, passages: Sequence[int]) -> Mapping[int, Found]:
        """Return the locations of passages by passage number."""
        if self._state.layout is None:
            return {}
        rows = self._rows(
            "SELECT p.number, d.id, p.field, p.start, p.stop "  # noqa: S608
            f"FROM passages_{self._state.layout.number} p JOIN documents d ON d.number = p.document "
            "WHERE p.number = ANY(%s)",
            [[int(passage) for passage in passages]],
        )
        return {row[0]: Found(read_id(row[1]), unescaped(row[2]), row[3], row[4]) for row in rows}

    def _nearest(
        self, layout: Layout, query: NDArray[np.float32], limit: int, where: Filter | None, *, exact: bool
    ) -> list[tuple[int, bytes]]:
        """Return the numbers and vectors of the nearest passages; only their vectors are fetched."""
        if exact:
            # An expression without an index. The cosine with a vector of zeros is NaN; it counts as 0 here.
            order = f"coalesce(nullif(vector {layout.distance} %s::vector, 'NaN'), 1), passage"
        else:
            fewest, most = _CANDIDATES
            self._rows(
                "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), "
                "set_config('hnsw.ef_search', %s, true)",
                [str(min(max(fewest, 2 * limit), most))],
            )
            kind = f"halfvec({layout.settings.dimension})" if "halfvec" in str(layout.indexed) else "vector"
            order = f"{layout.indexed} {layout.distance} %s::{kind}"
        condition, values = only_documents("document", where)
        table = f"vectors_{layout.number}"
        return self._rows(
            f"WITH nearest AS MATERIALIZED (SELECT passage FROM {table} WHERE {condition} "  # noqa: S608
            f"ORDER BY {order} LIMIT %s) "
            f"SELECT passage, vector_send(vector) FROM nearest JOIN {table} USING (passage)",
            [*values, vector_text(query), limit + _SPARE],
        )

    def _check_open(self) -> None:
        if self.ended:
            raise StoreError(
                f"This snapshot of the index ({self._session.location}) has ended; take another one."
            )

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        self._check_open()
        with self._session.translate_errors():
            return self._connection.execute(query.encode(), values, binary=True).fetchall()


def _keys(ids: Sequence[DocumentId]) -> list[bytes]:
    return [id_key(document) for document in ids]


def _best(layout: Layout, query: NDArray[np.float32], candidates: Sequence[tuple[int, bytes]]) -> list[Match]:
    """Return candidates with exact scores, best first; equal scores by passage number."""
    if not candidates:
        return []
    passages = np.array([passage for passage, _ in candidates], dtype=np.int64)
    vectors = read_vectors([vector for _, vector in candidates], layout.settings.dimension).astype(np.float64)
    scores = vectors @ query.astype(np.float64)
    if layout.settings.similarity != "dot":
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query.astype(np.float64))
        scores = np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
    rounded = scores.astype(np.float32)
    order = np.lexsort((passages, -rounded))
    return list(map(Match, passages[order].tolist(), rounded[order].tolist()))


def _ranked_words(
    layout: Layout, words: Sequence[str], limit: int, where: Filter | None
) -> tuple[str, list[Any]]:
    """Return the query for passages with any of the words, best first, and its parameters.

    ``ts_rank`` ignores document frequencies, so each word is ranked separately and weighted as in BM25
    (Robertson and Zaragoza, 2009)::

        sum over the words of  ln(1 + (N - n + 0.5) / (n + 0.5)) * f
        divided by             (1 + k1 * (1 - b + b * length / mean length)) / (1 + k1)

    where N passages are in the index, n of them have the word, and ``f`` is 1 + 1/4 + 1/9 + ... with as
    many terms as the passage has the word: the value of ``ts_rank`` for one word of weight 1, times pi^2/6.
    A filter changes which passages are found, not their scores.
    """
    condition, filtered = only_documents("document", where)
    indices = range(len(words))
    ranks = ", ".join(f"ts_rank('{{1,1,1,1}}', words, %s::tsquery) AS r{i}" for i in indices)
    # Casts to float8, because a plain 0.5 is a numeric, with which arithmetic is ten times slower.
    counts = (f"(count(*) FILTER (WHERE r{i} > 0))::float8 AS n{i}" for i in indices)
    rarities = (f"ln(1 + ({layout.passages} - n{i} + 0.5::float8) / (n{i} + 0.5::float8))" for i in indices)
    weights = ", ".join(f"{rarity} AS w{i}" for i, rarity in enumerate(rarities))
    total = " + ".join(f"w{i} * r{i}" for i in indices)
    scale = _FREQUENT * (1 + _SATURATION)
    start, growth = 1 + _SATURATION * (1 - _LENGTH), _SATURATION * _LENGTH * layout.passages / layout.words
    query = (
        f"WITH matched AS MATERIALIZED (SELECT number, document, length, {ranks} "  # noqa: S608
        f"FROM passages_{layout.number} WHERE words @@ %s::tsquery), "
        f"weighed AS (SELECT {weights} FROM (SELECT {', '.join(counts)} FROM matched) AS counted) "
        f"SELECT number, {scale}::float8 * ({total}) / ({start}::float8 + {growth}::float8 * length) "
        f"AS score FROM matched, weighed WHERE {condition} ORDER BY score DESC, number LIMIT %s"
    )
    return query, [*(words_query([word]) for word in words), words_query(words), *filtered, limit]
