"""Writing entries into the tables of an index in PostgreSQL, inside the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np

from munjang.errors import IndexMismatchError, InputError
from munjang.search.documents import DocumentId, Entry
from munjang.search.stores.postgres.connection import Connection
from munjang.search.stores.postgres.schema import Layout, State
from munjang.search.stores.postgres.text import (
    comparable,
    copied_vector,
    escaped,
    id_key,
    words_vector,
    write_body,
    write_id,
)

__all__ = ["PostgresWriter"]

_SHOWN = 5
_BINARY_START = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_BINARY_END = b"\xff\xff"


class PostgresWriter:
    """Writes and deletes documents; numbers continue from ``state``, since there is no concurrent writer."""

    def __init__(self, connection: Connection, state: State) -> None:
        self._connection = connection
        self._state = state
        self._documents = state.documents
        self._next_document = state.next_document
        self._next_passage = state.next_passage
        self._changed = False

    def delete(self, ids: Sequence[DocumentId]) -> int:
        """Delete documents and all data derived from them; return the number of deleted documents."""
        numbers = list(self.numbers(ids).values())
        if numbers:
            self.forget(numbers, self._state.layouts)
            self._connection.execute("DELETE FROM documents WHERE number = ANY(%s)", [numbers])
            self._documents -= len(numbers)
            self._changed = True
        return len(numbers)

    def put(self, layout: Layout, entries: Sequence[Entry], *, new: bool) -> None:
        """Write entries; existing documents are replaced, or raise an error if entries must be new.

        If several entries have the same id, the last entry wins.
        """
        there = self.numbers([entry.document.id for entry in entries])
        if new:
            _refuse_known(entries, there)
        entries = list({id_key(entry.document.id): entry for entry in entries}.values())
        added = [entry for entry in entries if id_key(entry.document.id) not in there]
        replaced = [entry for entry in entries if id_key(entry.document.id) in there]
        self.forget(list(there.values()), self._state.layouts)
        self._replace(replaced, there)
        there.update(self._add(added))
        self.prepare(layout, [(there[id_key(entry.document.id)], entry) for entry in entries])
        self._changed = self._changed or bool(entries)

    def numbers(self, ids: Sequence[DocumentId]) -> dict[bytes, int]:
        """Return the numbers of existing documents by key."""
        keys = [id_key(one) for one in ids]
        rows = self._connection.execute("SELECT key, number FROM documents WHERE key = ANY(%s)", [keys])
        return dict(rows.fetchall())

    def prepare(self, layout: Layout, entries: Sequence[tuple[int, Entry]]) -> None:
        """Write passages, words and vectors of documents, given by number, into a layout."""
        _check_vectors([entry for _, entry in entries], layout.settings.dimension)
        passages: list[tuple[Any, ...]] = []
        vectors: list[bytes] = []
        for document, entry in entries:
            for passage in entry.passages:
                words = words_vector(passage.words)
                place = (escaped(passage.field), passage.start, passage.end, len(passage.words), words)
                passages.append((self._next_passage, document, *place))
                if passage.vector is not None:
                    vectors.append(copied_vector(self._next_passage, document, passage.vector))
                self._next_passage += 1
        columns = "number, document, field, start, stop, length, words"
        self._copy(f"COPY passages_{layout.number} ({columns}) FROM STDIN", passages)
        self._copy_binary(f"COPY vectors_{layout.number} (passage, document, vector)", vectors)
        self._count(layout, len(passages), len(vectors), sum(row[5] for row in passages))

    def forget(self, numbers: Sequence[int], layouts: Iterable[Layout]) -> None:
        """Delete the data derived from documents."""
        if not numbers:
            return
        for layout in layouts:
            number, values = layout.number, [list(numbers)]
            vectors = self._run(f"DELETE FROM vectors_{number} WHERE document = ANY(%s)", values)  # noqa: S608
            self._run(f"DELETE FROM prepared_{number} WHERE document = ANY(%s)", values)  # noqa: S608
            gone = self._connection.execute(
                f"WITH gone AS (DELETE FROM passages_{number} WHERE document = ANY(%s) "  # noqa: S608
                "RETURNING length) SELECT count(*), coalesce(sum(length), 0)::bigint FROM gone".encode(),
                values,
            ).fetchone()
            assert gone is not None
            self._count(layout, -gone[0], -vectors, -gone[1])

    def finish(self) -> None:
        """Update the counts; increase the generation if data visible to readers changed."""
        self._connection.execute(
            "UPDATE state SET generation = generation + %s, documents = %s, next_document = %s, "
            "next_passage = %s",
            [int(self._changed), self._documents, self._next_document, self._next_passage],
        )

    def _add(self, entries: Sequence[Entry]) -> dict[bytes, int]:
        first = self._next_document
        keys = [id_key(entry.document.id) for entry in entries]
        rows = [(first + place, keys[place], *_columns(entry)) for place, entry in enumerate(entries)]
        self._copy("COPY documents (number, key, id, source, digest, metadata, body) FROM STDIN", rows)
        self._next_document += len(rows)
        self._documents += len(rows)
        return {key: first + place for place, key in enumerate(keys)}

    def _replace(self, entries: Sequence[Entry], there: dict[bytes, int]) -> None:
        rows = [(*_columns(entry)[1:], there[id_key(entry.document.id)]) for entry in entries]
        if rows:
            with self._connection.cursor() as cursor:
                cursor.executemany(
                    "UPDATE documents SET source = %s, digest = %s, metadata = %s::jsonb, body = %s "
                    "WHERE number = %s",
                    rows,
                )

    def _copy(self, command: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            with self._connection.cursor() as cursor, cursor.copy(command.encode()) as copy:
                for row in rows:
                    copy.write_row(row)

    def _copy_binary(self, command: str, rows: Sequence[bytes]) -> None:
        """Copy rows in binary COPY format; pgvector parses text much more slowly."""
        if rows:
            start = f"{command} FROM STDIN (FORMAT binary)".encode()
            with self._connection.cursor() as cursor, cursor.copy(start) as copy:
                copy.write(_BINARY_START)
                for row in rows:
                    copy.write(row)
                copy.write(_BINARY_END)

    def _count(self, layout: Layout, *changes: int) -> None:
        if any(changes):
            self._connection.execute(
                "UPDATE layouts SET passages = passages + %s, vectors = vectors + %s, words = words + %s "
                "WHERE number = %s",
                [*changes, layout.number],
            )

    def _run(self, command: str, values: Sequence[Any]) -> int:
        return self._connection.execute(command.encode(), values).rowcount


def _columns(entry: Entry) -> tuple[str, str | None, bytes, str, str]:
    document = entry.document
    source = None if document.source is None else escaped(document.source)
    body = write_body(document)  # which refuses what is no JSON
    return write_id(document.id), source, entry.digest, comparable(document.metadata), body


def _refuse_known(entries: Sequence[Entry], there: Container[bytes]) -> None:
    ids = [entry.document.id for entry in entries]
    if known := [one for one in ids if id_key(one) in there]:
        raise InputError(f"The index already has {_named(known)}; use upsert to replace documents.")
    if twice := [one for one, times in Counter(ids).items() if times > 1]:
        raise InputError(f"Several of the new documents have the id {_named(twice)}.")


def _named(ids: Sequence[DocumentId]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(repr(one) for one in ids[:_SHOWN]) + more


def _check_vectors(entries: Sequence[Entry], dimension: int) -> None:
    vectors = [one.vector for entry in entries for one in entry.passages if one.vector is not None]
    for vector in vectors:
        if vector.shape != (dimension,):
            raise IndexMismatchError(
                f"A vector has the shape {vector.shape}, but the index has vectors of {dimension} dimensions."
            )
    if not all(np.isfinite(vector).all() for vector in vectors):
        raise InputError("A vector has a component that is not a finite number.")
