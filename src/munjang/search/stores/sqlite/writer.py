"""Writing, deleting and staging documents of an index in SQLite, inside the caller's transaction."""

from __future__ import annotations

import json
import secrets
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from munjang.errors import IndexMismatchError, InputError
from munjang.search.documents import Document, Entry
from munjang.search.settings import IndexSettings, check_same_target, write_settings
from munjang.search.stores.base import Changes
from munjang.search.stores.sqlite.encoding import (
    compact_json,
    ids_json,
    read_document,
    vector_blob,
    words_text,
    write_id,
    write_metadata,
)
from munjang.search.stores.sqlite.schema import State

if TYPE_CHECKING:
    import apsw

_STEP = 1 << 24
_LARGEST = 1e15  # maximum component of a vector; products of larger values could overflow float32
_NAMED = 5  # ids listed in an error message
_IN = "IN (SELECT value FROM json_each(?))"
_PASSAGES = f"(SELECT number FROM passage WHERE document {_IN})"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Row:
    """An entry in its stored form. A passage is ``(field, start, end, words, vector)``."""

    id: str
    digest: bytes
    document: tuple[Any, ...]  # source, plain, metadata, fields
    passages: list[tuple[str, int, int, str, bytes | None]]


def rows_of(entries: Iterable[Entry]) -> list[Row]:
    """Convert entries to their stored form, before a transaction starts; the last entry of an id wins."""
    return list({row.id: row for row in map(_row, entries)}.values())


def _row(entry: Entry) -> Row:
    document = entry.document
    metadata, plain = write_metadata(document.metadata, document.id)
    fields = compact_json(dict(document.fields))
    passages = [
        (
            passage.field,
            passage.start,
            passage.end,
            words_text(passage.words),
            None if passage.vector is None else vector_blob(passage.vector),
        )
        for passage in entry.passages
    ]
    return Row(write_id(document.id), entry.digest, (document.source, plain, metadata, fields), passages)


def _check_vectors(entries: Iterable[Row], dimension: int) -> None:
    """Raise `IndexMismatchError` for a vector of another dimension, `InputError` for non-finite values."""
    blobs = [blob for entry in entries for *_, blob in entry.passages if blob is not None]
    for blob in blobs:
        if len(blob) != 4 * dimension:
            raise IndexMismatchError(
                f"A vector has {len(blob) // 4} dimensions, but the index has vectors of {dimension}."
            )
    if not (np.abs(np.frombuffer(b"".join(blobs), dtype="<f4")) <= _LARGEST).all():  # false for NaN, too
        raise InputError(f"A vector has a component that is not a finite number up to {_LARGEST:.0e}.")


def _numbers_of(connection: apsw.Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the numbers of existing documents, by stored id."""
    rows = connection.execute(f"SELECT id, number FROM document WHERE id {_IN}", (ids_json(ids),))  # noqa: S608
    return {str(document): int(number) for document, number in rows}


def _new_generation(state: State) -> int:
    """Return a generation above the last.

    The step is random, so that a derived file of a diverged copy of this database is recognized by a
    generation that this database never had.
    """
    return state.generation + 1 + secrets.randbelow(_STEP)


def write(
    connection: apsw.Connection,
    state: State,
    settings: IndexSettings,
    changes: Changes,
    entries: Sequence[Row],
) -> int:
    """Delete documents, then write entries, the rows of ``changes.put``; return the number of deletions."""
    _check_vectors(entries, settings.dimension)
    generation = _new_generation(state)
    deleted = _numbers_of(connection, map(write_id, changes.delete)) if changes.delete else {}
    _delete_documents(connection, list(deleted.values()), generation)
    last = state.last_passage
    if entries:
        if changes.new:
            _refuse_known(connection, [write_id(entry.document.id) for entry in changes.put])
        last = _put(connection, state, entries, generation)
    if deleted or entries:
        connection.execute("UPDATE state SET generation = ?, last_passage = ?", (generation, last))
        connection.execute("INSERT INTO generation VALUES (?, ?)", (generation, last))
    return len(deleted)


def _put(connection: apsw.Connection, state: State, entries: Sequence[Row], generation: int) -> int:
    """Write entries; return the number of the last passage."""
    known = _numbers_of(connection, [entry.id for entry in entries])
    _delete_passages(connection, list(known.values()), generation)
    numbers = _put_documents(connection, entries, known)
    if state.target_json is not None:
        documents = [(number,) for number in numbers]
        connection.executemany("DELETE FROM staged WHERE document = ?", documents)
        connection.executemany("INSERT OR IGNORE INTO waiting VALUES (?)", documents)
    return _put_passages(connection, entries, numbers, state.last_passage)


def _refuse_known(connection: apsw.Connection, ids: Sequence[str]) -> None:
    if known := _numbers_of(connection, ids):
        raise InputError(f"The index already has {_named(known)}; use upsert to replace documents.")
    if repeated := [document for document, times in Counter(ids).items() if times > 1]:
        raise InputError(f"Several of the new documents have the id {_named(repeated)}.")


def _named(ids: Iterable[str]) -> str:
    first = list(ids)
    more = f" and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    return ", ".join(first[:_NAMED]) + more


def _put_documents(connection: apsw.Connection, entries: Sequence[Row], known: dict[str, int]) -> list[int]:
    sequence = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'document'").get or 0
    numbers = []
    for entry in entries:
        number = known.get(entry.id)
        if number is None:
            number = sequence = sequence + 1
        numbers.append(number)
    connection.executemany(
        "INSERT INTO document (number, id, digest, source, plain, metadata, fields) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET digest = excluded.digest, "
        "source = excluded.source, plain = excluded.plain, metadata = excluded.metadata, "
        "fields = excluded.fields",
        ((number, row.id, row.digest, *row.document) for number, row in zip(numbers, entries, strict=True)),
    )
    return numbers


def _put_passages(
    connection: apsw.Connection, entries: Sequence[Row], numbers: Sequence[int], last: int
) -> int:
    rows = [
        (document, *passage)
        for document, entry in zip(numbers, entries, strict=True)
        for passage in entry.passages
    ]
    connection.executemany(
        'INSERT INTO passage (number, document, field, start, "end") VALUES (?, ?, ?, ?, ?)',
        ((number, *row[:4]) for number, row in enumerate(rows, last + 1)),
    )
    connection.executemany(
        "INSERT INTO vector VALUES (?, ?)",
        ((number, row[5]) for number, row in enumerate(rows, last + 1) if row[5] is not None),
    )
    connection.executemany(
        "INSERT INTO words (rowid, text) VALUES (?, ?)",
        ((number, row[4]) for number, row in enumerate(rows, last + 1)),
    )
    return last + len(rows)


def _delete_passages(connection: apsw.Connection, documents: Sequence[int], generation: int) -> None:
    if not documents:
        return
    listed = json.dumps(documents)
    connection.execute(
        f"INSERT INTO tombstone SELECT passage, ? FROM vector WHERE passage IN {_PASSAGES}",  # noqa: S608
        (generation, listed),
    )
    for table, column in (("words", "rowid"), ("vector", "passage")):
        connection.execute(f"DELETE FROM {table} WHERE {column} IN {_PASSAGES}", (listed,))  # noqa: S608
    connection.execute(f"DELETE FROM passage WHERE document {_IN}", (listed,))  # noqa: S608


def _delete_documents(connection: apsw.Connection, documents: Sequence[int], generation: int) -> None:
    if not documents:
        return
    _delete_passages(connection, documents, generation)
    listed = json.dumps(documents)
    for table, column in (("staged", "document"), ("waiting", "document"), ("document", "number")):
        connection.execute(f"DELETE FROM {table} WHERE {column} {_IN}", (listed,))  # noqa: S608


# Migration to other settings: entries are staged, then activated atomically


def begin_migration(connection: apsw.Connection, state: State, target: IndexSettings) -> None:
    """Start a migration, unless it is started already; at first all documents are unstaged."""
    if state.target is None:
        connection.execute("UPDATE state SET target = ?", (write_settings(target),))
        connection.execute("INSERT INTO waiting SELECT number FROM document")
    else:
        check_same_target(state.target, target)


def unstaged(connection: apsw.Connection, limit: int) -> list[Document]:
    """Return documents not yet staged in the migration."""
    rows = connection.execute(
        "SELECT id, fields, metadata, source FROM waiting JOIN document ON number = waiting.document "
        "ORDER BY waiting.document LIMIT ?",
        (max(limit, 0),),
    )
    return [read_document(row) for row in rows]


def stage(connection: apsw.Connection, state: State, target: IndexSettings, entries: Sequence[Row]) -> None:
    """Stage entries; skip entries whose document was changed or deleted since it was prepared."""
    if state.target is None:
        raise IndexMismatchError(f"No migration to the model '{target.model}' was started.")
    check_same_target(state.target, target)
    _check_vectors(entries, target.dimension)
    numbers = _unchanged(connection, entries)
    kept = [(numbers[entry.id], entry) for entry in entries if entry.id in numbers]
    documents = [(number,) for number, _ in kept]
    connection.executemany("DELETE FROM staged WHERE document = ?", documents)
    connection.executemany("DELETE FROM waiting WHERE document = ?", documents)
    rows = [(number, *passage) for number, entry in kept for passage in entry.passages]
    connection.executemany(
        'INSERT INTO staged (number, document, field, start, "end", words, value) '
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((number, *row) for number, row in enumerate(rows, state.last_passage + 1)),
    )
    connection.execute("UPDATE state SET last_passage = last_passage + ?", (len(rows),))


def _unchanged(connection: apsw.Connection, entries: Sequence[Row]) -> dict[str, int]:
    """Return the document numbers of the entries whose document is unchanged since it was prepared."""
    digests = {entry.id: entry.digest for entry in entries}
    rows = connection.execute(
        "SELECT id, number, digest FROM document WHERE id IN (SELECT value FROM json_each(?))",
        (ids_json(digests),),
    )
    return {document: number for document, number, digest in rows if digest == digests[document]}


def switch(connection: apsw.Connection, state: State, target: IndexSettings) -> bool:
    """Activate the staged entries; return false and do nothing if documents are unstaged."""
    if state.target is None:
        if connection.execute("SELECT EXISTS (SELECT 1 FROM document)").get:
            return False
    else:
        check_same_target(state.target, target)
    if connection.execute("SELECT EXISTS (SELECT 1 FROM waiting)").get:
        return False
    connection.execute(
        "DELETE FROM vector; DELETE FROM passage; INSERT INTO words (words) VALUES ('delete-all')"
    )
    connection.execute(
        'INSERT INTO passage SELECT number, document, field, start, "end" FROM staged ORDER BY number'
    )
    connection.execute(
        "INSERT INTO vector SELECT number, value FROM staged WHERE value NOT NULL ORDER BY number"
    )
    connection.execute("INSERT INTO words (rowid, text) SELECT number, words FROM staged ORDER BY number")
    connection.execute(
        "UPDATE state SET settings = ?, target = NULL", (write_settings(state.target or target),)
    )
    connection.execute("DELETE FROM staged")
    new_identity(connection, state)
    return True


def abandon(connection: apsw.Connection) -> None:
    """Delete a migration."""
    connection.execute("DELETE FROM staged; DELETE FROM waiting; UPDATE state SET target = NULL")


def new_identity(connection: apsw.Connection, state: State) -> None:
    """Delete the history of generations, so that all derived data must be rebuilt."""
    connection.execute("DELETE FROM tombstone; DELETE FROM generation")
    identity, generation = uuid.uuid4().hex, _new_generation(state)
    connection.execute("UPDATE state SET identity = ?, generation = ?", (identity, generation))
    connection.execute("INSERT INTO generation SELECT generation, last_passage FROM state")
