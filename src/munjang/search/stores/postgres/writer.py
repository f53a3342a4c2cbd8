"""Writing, deleting and staging documents of an index in PostgreSQL, inside the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np

from munjang.errors import IndexMismatchError, InputError
from munjang.search.documents import Document, DocumentId, Entry
from munjang.search.settings import IndexSettings, check_same_target
from munjang.search.stores.base import Changes
from munjang.search.stores.postgres.connection import Connection
from munjang.search.stores.postgres.encoding import (
    comparable,
    escaped,
    id_key,
    read_document,
    vector_row,
    words_text,
    write_body,
    write_id,
)
from munjang.search.stores.postgres.schema import Layout, State, add_layout

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
        known = self.numbers([entry.document.id for entry in entries])
        if new:
            _refuse_known(entries, known)
        entries = list({id_key(entry.document.id): entry for entry in entries}.values())
        added = [entry for entry in entries if id_key(entry.document.id) not in known]
        replaced = [entry for entry in entries if id_key(entry.document.id) in known]
        self.forget(list(known.values()), self._state.layouts)
        self._replace(replaced, known)
        known.update(self._add(added))
        self.prepare(layout, [(known[id_key(entry.document.id)], entry) for entry in entries])
        self._changed = self._changed or bool(entries)

    def numbers(self, ids: Sequence[DocumentId]) -> dict[bytes, int]:
        """Return the numbers of existing documents by key."""
        keys = [id_key(document) for document in ids]
        rows = self._connection.execute("SELECT key, number FROM documents WHERE key = ANY(%s)", [keys])
        return dict(rows.fetchall())

    def prepare(self, layout: Layout, entries: Sequence[tuple[int, Entry]]) -> None:
        """Write passages, words and vectors of documents, given by number, into a layout."""
        _check_vectors([entry for _, entry in entries], layout.settings.dimension)
        passages: list[tuple[Any, ...]] = []
        vectors: list[bytes] = []
        for document, entry in entries:
            for passage in entry.passages:
                words = words_text(passage.words)
                location = (escaped(passage.field), passage.start, passage.end)
                passages.append((self._next_passage, document, *location, len(passage.words), words))
                if passage.vector is not None:
                    vectors.append(vector_row(self._next_passage, document, passage.vector))
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
        rows = [(first + i, keys[i], *_columns(entry)) for i, entry in enumerate(entries)]
        self._copy("COPY documents (number, key, id, source, digest, metadata, body) FROM STDIN", rows)
        self._next_document += len(rows)
        self._documents += len(rows)
        return {key: first + i for i, key in enumerate(keys)}

    def _replace(self, entries: Sequence[Entry], known: dict[bytes, int]) -> None:
        rows = [(*_columns(entry)[1:], known[id_key(entry.document.id)]) for entry in entries]
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


def write(connection: Connection, state: State, layout: Layout, changes: Changes) -> int:
    """Delete documents, then write entries; return the number of documents deleted."""
    writer = PostgresWriter(connection, state)
    deleted = writer.delete(changes.delete)
    writer.put(layout, changes.put, new=changes.new)
    writer.finish()
    return deleted


def _columns(entry: Entry) -> tuple[str, str | None, bytes, str, str]:
    document = entry.document
    source = None if document.source is None else escaped(document.source)
    body = write_body(document)  # raises an error for metadata that is not JSON
    return write_id(document.id), source, entry.digest, comparable(document.metadata), body


def _refuse_known(entries: Sequence[Entry], known: Container[bytes]) -> None:
    ids = [entry.document.id for entry in entries]
    if stored := [document for document in ids if id_key(document) in known]:
        raise InputError(f"The index already has {_named(stored)}; use upsert to replace documents.")
    if repeated := [document for document, times in Counter(ids).items() if times > 1]:
        raise InputError(f"Several of the new documents have the id {_named(repeated)}.")


def _named(ids: Sequence[DocumentId]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(map(repr, ids[:_SHOWN])) + more


def _check_vectors(entries: Sequence[Entry], dimension: int) -> None:
    passages = [passage for entry in entries for passage in entry.passages]
    vectors = [passage.vector for passage in passages if passage.vector is not None]
    for vector in vectors:
        if vector.shape != (dimension,):
            raise IndexMismatchError(
                f"A vector has the shape {vector.shape}, but the index has vectors of {dimension} dimensions."
            )
    if not all(np.isfinite(vector).all() for vector in vectors):
        raise InputError("A vector has a component that is not a finite number.")


# Migration to other settings: entries are staged in a second layout, which then becomes the current layout

_UNSTAGED = "NOT EXISTS (SELECT FROM prepared_{number} WHERE document = number)"


def begin_migration(connection: Connection, state: State, target: IndexSettings) -> int:
    """Start a migration, unless it is started already; return the number of its layout."""
    if state.moving is not None:
        check_same_target(state.moving.settings, target)
        return state.moving.number
    number = add_layout(connection, target)
    connection.execute("UPDATE state SET moving = %s", [number])
    return number


def unstaged(connection: Connection, number: int, limit: int) -> list[Document]:
    """Return the first documents that are not staged in a layout.

    Documents are staged in order, so normally these follow the last staged document; only at the end all
    documents are scanned for writes during the migration.
    """
    after = f"number > (SELECT coalesce(max(document), 0) FROM prepared_{number})"  # noqa: S608
    documents: list[Document] = []
    for condition in (after, _UNSTAGED.format(number=number)):
        rows = connection.execute(
            f"SELECT id, source, body FROM documents WHERE {condition} ORDER BY documents.number "  # noqa: S608
            "LIMIT %s".encode(),
            [max(limit, 0)],
        )
        documents = [read_document(*row) for row in rows]
        if len(documents) >= limit:
            break
    return documents


def stage(connection: Connection, state: State, target: IndexSettings, entries: Sequence[Entry]) -> None:
    """Stage entries; skip entries whose document was changed or deleted since it was prepared."""
    layout = state.moving
    if layout is None:
        raise IndexMismatchError(f"No migration to the model '{target.model}' was started.")
    check_same_target(layout.settings, target)
    keys = {id_key(entry.document.id): entry for entry in entries}
    rows = connection.execute(
        "SELECT key, number, digest FROM documents WHERE key = ANY(%s)", [list(keys)]
    ).fetchall()
    unchanged = sorted((number, key) for key, number, digest in rows if keys[key].digest == digest)
    numbers = [number for number, _ in unchanged]
    writer = PostgresWriter(connection, state)
    writer.forget(numbers, [layout])
    writer.prepare(layout, [(number, keys[key]) for number, key in unchanged])
    with connection.cursor() as cursor, cursor.copy(f"COPY prepared_{layout.number} FROM STDIN") as copy:
        for number in numbers:
            copy.write_row((number,))
    writer.finish()


def switch(connection: Connection, state: State, current: Layout, target: IndexSettings) -> bool:
    """Activate the staged entries; return false and do nothing if documents are unstaged."""
    if state.moving is None:
        if state.documents:
            return False
        number = add_layout(connection, target)
    else:
        check_same_target(state.moving.settings, target)
        number = state.moving.number
    condition = _UNSTAGED.format(number=number)
    row = connection.execute(f"SELECT EXISTS (SELECT FROM documents WHERE {condition})".encode()).fetchone()  # noqa: S608
    if row and row[0]:
        return False
    connection.execute("UPDATE state SET layout = %s, moving = NULL, generation = generation + 1", [number])
    connection.execute("DELETE FROM layouts WHERE number = %s", [current.number])
    return True


def abandon(connection: Connection, state: State) -> None:
    """Delete a migration."""
    if state.moving is not None:
        connection.execute("UPDATE state SET moving = NULL")
        connection.execute("DELETE FROM layouts WHERE number = %s", [state.moving.number])
