"""Migration of an index in SQLite to other settings: entries are staged, then activated atomically."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from munjang.errors import IndexMismatchError
from munjang.search.settings import difference, write_settings
from munjang.search.stores.base import IndexSettings
from munjang.search.stores.sqlite.writer import Ready, State, check_vectors, ids_json, new_generation

if TYPE_CHECKING:
    import apsw

__all__ = ["abandon", "begin", "stage", "start_anew", "switch"]


def begin(connection: apsw.Connection, state: State, target: IndexSettings) -> None:
    """Start a migration, unless it is started already; at first all documents are unstaged."""
    if state.target is None:
        connection.execute("UPDATE state SET target = ?", (write_settings(target),))
        connection.execute("INSERT INTO waiting SELECT number FROM document")
    else:
        _check_target(state.target, target)


def _check_target(begun: IndexSettings, target: IndexSettings) -> None:
    if found := difference(begun, target):
        raise IndexMismatchError(
            f"A move to the model '{begun.model}' was begun, with {found}. Finish it, or abandon it first."
        )


def stage(connection: apsw.Connection, state: State, target: IndexSettings, entries: Sequence[Ready]) -> None:
    """Stage entries; skip entries whose document was changed or deleted since it was prepared."""
    if state.target is None:
        raise IndexMismatchError(f"No move to the model '{target.model}' was begun.")
    _check_target(state.target, target)
    check_vectors(entries, target.dimension)
    numbers = _unchanged(connection, entries)
    kept = [(numbers[entry.id], entry) for entry in entries if entry.id in numbers]
    these = [(number,) for number, _ in kept]
    connection.executemany("DELETE FROM staged WHERE document = ?", these)
    connection.executemany("DELETE FROM waiting WHERE document = ?", these)
    rows = [(number, *passage) for number, entry in kept for passage in entry.passages]
    connection.executemany(
        'INSERT INTO staged (number, document, field, start, "end", words, value) '
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        ((number, *row) for number, row in enumerate(rows, state.last_passage + 1)),
    )
    connection.execute("UPDATE state SET last_passage = last_passage + ?", (len(rows),))


def _unchanged(connection: apsw.Connection, entries: Sequence[Ready]) -> dict[str, int]:
    """Return the document numbers of the entries whose document is unchanged since it was prepared."""
    digests = {entry.id: entry.digest for entry in entries}
    found = connection.execute(
        "SELECT id, number, digest FROM document WHERE id IN (SELECT value FROM json_each(?))",
        (ids_json(digests),),
    )
    return {identifier: number for identifier, number, digest in found if digest == digests[identifier]}


def switch(connection: apsw.Connection, state: State, target: IndexSettings) -> bool:
    """Activate the staged entries; return false and do nothing if documents are unstaged."""
    if state.target is None:
        if connection.execute("SELECT EXISTS (SELECT 1 FROM document)").get:
            return False
    else:
        _check_target(state.target, target)
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
    start_anew(connection, state)
    return True


def abandon(connection: apsw.Connection) -> None:
    """Delete a migration."""
    connection.execute("DELETE FROM staged; DELETE FROM waiting; UPDATE state SET target = NULL")


def start_anew(connection: apsw.Connection, state: State) -> None:
    """Delete the history of generations, so that all derived data must be rebuilt."""
    connection.execute("DELETE FROM tombstone; DELETE FROM generation")
    identity, generation = uuid.uuid4().hex, new_generation(state)
    connection.execute("UPDATE state SET identity = ?, generation = ?", (identity, generation))
    connection.execute("INSERT INTO generation SELECT generation, last_passage FROM state")
