"""Writing and deleting documents of an index in SQLite, inside the caller's transaction."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from munjang.errors import IndexMismatchError, InputError, InputTypeError
from munjang.search.documents import DocumentId, Entry, Passage
from munjang.search.settings import read_settings
from munjang.search.stores.base import Changes, IndexSettings
from munjang.search.stores.sqlite.filters import compact_json, metadata_json
from munjang.search.stores.sqlite.reader import id_json, joined

if TYPE_CHECKING:
    import apsw

__all__ = ["Ready", "State", "check_vectors", "ids_json", "new_generation", "numbers_of", "ready", "write"]

_STEP = 1 << 24
_LARGEST = 1e15  # maximum component of a vector; products of larger values could overflow float32
_NAMED = 5  # ids listed in an error message
_IN = "IN (SELECT value FROM json_each(?))"
_PASSAGES = f"(SELECT number FROM passage WHERE document {_IN})"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Ready:
    """An entry in its stored form. A passage is ``(field, start, end, words, vector)``."""

    id: str
    digest: bytes
    document: tuple[Any, ...]  # source, plain, metadata, fields
    passages: list[tuple[str, int, int, str, bytes | None]]


@dataclass(frozen=True, slots=True)
class State:
    """The single row of the table ``state``."""

    generation: int
    last_passage: int
    settings: IndexSettings | None
    target: IndexSettings | None

    @classmethod
    def read(cls, connection: apsw.Connection) -> State:
        """Read the row."""
        row = connection.execute("SELECT generation, last_passage, settings, target FROM state").fetchone()
        if row is None:
            raise ValueError("it has no state")
        generation, last_passage, *settings = row
        return cls(generation, last_passage, *(one and read_settings(one) for one in settings))


def ready(entries: Iterable[Entry]) -> list[Ready]:
    """Convert entries to their stored form, before a transaction starts; the last entry of an id wins."""
    return list({one.id: one for one in map(_ready, entries)}.values())


def _ready(entry: Entry) -> Ready:
    document = entry.document
    metadata, plain = metadata_json(document.metadata, document.id)
    fields = compact_json(dict(document.fields))
    return Ready(
        _checked_id(document.id),
        entry.digest,
        (document.source, plain, metadata, fields),
        [(one.field, one.start, one.end, joined(one.words), _blob(one)) for one in entry.passages],
    )


def _checked_id(identifier: DocumentId) -> str:
    if isinstance(identifier, bool) or not isinstance(identifier, (int, str)):
        raise InputTypeError(f"A document's id is a whole number or a text, got {identifier!r}.")
    return id_json(identifier)


def _blob(passage: Passage) -> bytes | None:
    return None if passage.vector is None else np.asarray(passage.vector, dtype="<f4").tobytes()


def check_vectors(entries: Iterable[Ready], dimension: int) -> None:
    """Raise `IndexMismatchError` for a vector of another dimension, `InputError` for non-finite values."""
    blobs = [blob for entry in entries for *_, blob in entry.passages if blob is not None]
    for blob in blobs:
        if len(blob) != 4 * dimension:
            raise IndexMismatchError(
                f"A vector has {len(blob) // 4} dimensions, but the index has vectors of {dimension}."
            )
    if not (np.abs(np.frombuffer(b"".join(blobs), dtype="<f4")) <= _LARGEST).all():  # false for NaN, too
        raise InputError(f"A vector has a component that is not a finite number up to {_LARGEST:.0e}.")


def ids_json(ids: Iterable[str]) -> str:
    """Return stored ids as a JSON array, a single SQL parameter."""
    return compact_json(list(ids))


def numbers_of(connection: apsw.Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the numbers of existing documents, by stored id."""
    found = connection.execute(f"SELECT id, number FROM document WHERE id {_IN}", (ids_json(ids),))  # noqa: S608
    return {str(identifier): int(number) for identifier, number in found}


def new_generation(state: State) -> int:
    """Return a generation above the last.

    The step is random, so that a derived file of a diverged copy of this database is recognized by a
    generation that this database never had.
    """
    return state.generation + 1 + secrets.randbelow(_STEP)


def write(connection: apsw.Connection, state: State, changes: Changes, entries: Sequence[Ready]) -> int:
    """Delete documents, then write entries; return the number of documents deleted."""
    generation = new_generation(state)
    gone = numbers_of(connection, map(_checked_id, changes.delete)) if changes.delete else {}
    _drop_documents(connection, list(gone.values()), generation)
    last = state.last_passage
    if entries:
        if changes.new:
            _refuse_known(connection, [id_json(entry.document.id) for entry in changes.put])
        last = _put(connection, state, entries, generation)
    if gone or entries:
        connection.execute("UPDATE state SET generation = ?, last_passage = ?", (generation, last))
        connection.execute("INSERT INTO generation VALUES (?, ?)", (generation, last))
    return len(gone)


def _put(connection: apsw.Connection, state: State, entries: Sequence[Ready], generation: int) -> int:
    """Write entries; return the number of the last passage."""
    known = numbers_of(connection, [entry.id for entry in entries])
    _drop_passages(connection, list(known.values()), generation)
    numbers = _put_documents(connection, entries, known)
    if state.target is not None:
        connection.executemany("DELETE FROM staged WHERE document = ?", ((one,) for one in numbers))
        connection.executemany("INSERT OR IGNORE INTO waiting VALUES (?)", ((one,) for one in numbers))
    return _put_passages(connection, entries, numbers, state.last_passage)


def _refuse_known(connection: apsw.Connection, ids: Sequence[str]) -> None:
    if known := numbers_of(connection, ids):
        raise InputError(f"The index already has {_named(known)}; use upsert to replace documents.")
    if twice := [one for one, times in Counter(ids).items() if times > 1]:
        raise InputError(f"Several of the new documents have the id {_named(twice)}.")


def _named(ids: Iterable[str]) -> str:
    first = list(ids)
    more = f" and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    return ", ".join(first[:_NAMED]) + more


def _put_documents(connection: apsw.Connection, entries: Sequence[Ready], known: dict[str, int]) -> list[int]:
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
        ((number, one.id, one.digest, *one.document) for number, one in zip(numbers, entries, strict=True)),
    )
    return numbers


def _put_passages(
    connection: apsw.Connection, entries: Sequence[Ready], numbers: Sequence[int], last: int
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


def _drop_passages(connection: apsw.Connection, documents: Sequence[int], generation: int) -> None:
    if not documents:
        return
    these = json.dumps(documents)
    connection.execute(
        f"INSERT INTO tombstone SELECT passage, ? FROM vector WHERE passage IN {_PASSAGES}",  # noqa: S608
        (generation, these),
    )
    for table, column in (("words", "rowid"), ("vector", "passage")):
        connection.execute(f"DELETE FROM {table} WHERE {column} IN {_PASSAGES}", (these,))  # noqa: S608
    connection.execute(f"DELETE FROM passage WHERE document {_IN}", (these,))  # noqa: S608


def _drop_documents(connection: apsw.Connection, documents: Sequence[int], generation: int) -> None:
    if not documents:
        return
    _drop_passages(connection, documents, generation)
    these = json.dumps(documents)
    for table, column in (("staged", "document"), ("waiting", "document"), ("document", "number")):
        connection.execute(f"DELETE FROM {table} WHERE {column} {_IN}", (these,))  # noqa: S608
