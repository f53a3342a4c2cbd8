"""Maintenance of an index in PostgreSQL: integrity checks, sizes, and rebuilding indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from munjang.search.stores.base import StoreInfo
from munjang.search.stores.postgres.connection import Connection, Session
from munjang.search.stores.postgres.schema import MIGRATIONS, Layout, State, nearest_index, read_state
from munjang.search.stores.postgres.text import comparable, id_key, read_body

__all__ = ["check_index", "describe_index", "rebuild_index"]

_TABLES = ("passages", "vectors", "prepared")
_PAGE = 500


def check_index(connection: Connection, state: State) -> list[str]:
    """Return a line for each problem."""
    return [
        *_broken_indexes(connection),
        *_wrong_documents(connection, state),
        *(line for layout in state.layouts for line in _wrong_layout(connection, state, layout)),
    ]


def describe_index(connection: Connection, state: State, place: str) -> StoreInfo:
    """Return counts and bytes; tables and their indexes apart."""
    layout = state.layout
    sizes = {"documents": _size(connection, "documents")}
    for one in state.layouts:
        suffix = " (prepared)" if one is state.moving else ""
        sizes.update(
            {f"{table}{suffix}": _size(connection, f"{table}_{one.number}") for table in _TABLES[:2]}
        )
    row = connection.execute(
        "SELECT current_setting('server_version'), "
        "(SELECT extversion FROM pg_extension WHERE extname = 'vector')"
    ).fetchone()
    assert row is not None
    details = {"kind": "PostgreSQL", "place": place, "version": str(len(MIGRATIONS))}
    details |= {"server": str(row[0]), "pgvector": str(row[1]), "identity": state.identity}
    if state.moving is not None:
        left = _number(connection, _unprepared_count(state.moving.number))
        details["moving to"] = f"{state.moving.settings.model}, {left} documents to prepare"
    return StoreInfo(
        documents=state.documents,
        passages=layout.passages if layout else 0,
        vectors=layout.vectors if layout else 0,
        generation=state.generation,
        bytes=sizes,
        details=details,
    )


def rebuild_index(session: Session) -> None:
    """Update the counts, vacuum the tables and rebuild their indexes; searches are not blocked.

    A missing HNSW index is created again (users may drop it to load millions of vectors faster). The space of
    deleted rows is free for new rows; only ``VACUUM FULL``, which blocks readers, would return it to the
    operating system.
    """
    with session.writing() as connection:
        state = read_state(connection)
        _count_anew(connection, state)
    names = [f"{table}_{layout.number}" for layout in state.layouts for table in _TABLES]
    with session.alone() as connection:
        for name in ("documents", *names):
            connection.execute(f"VACUUM (ANALYZE) {name}".encode())
            connection.execute(f"REINDEX TABLE CONCURRENTLY {name}".encode())
        for layout in state.layouts:
            command = nearest_index(layout.number, layout.settings, "CONCURRENTLY")
            if command is not None:
                connection.execute(command.encode())


def _count_anew(connection: Connection, state: State) -> None:
    connection.execute("UPDATE state SET documents = (SELECT count(*) FROM documents)")
    for layout in state.layouts:
        number = layout.number
        connection.execute(
            "UPDATE layouts SET "  # noqa: S608
            f"passages = (SELECT count(*) FROM passages_{number}), "
            f"words = (SELECT coalesce(sum(length), 0) FROM passages_{number}), "
            f"vectors = (SELECT count(*) FROM vectors_{number}) WHERE number = %s".encode(),
            [number],
        )


def _broken_indexes(connection: Connection) -> Iterator[str]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = current_schema() AND NOT (i.indisvalid AND i.indisready)"
    )
    for (name,) in rows:
        yield f"The index '{name}' was not finished; rebuild the index."


def _wrong_documents(connection: Connection, state: State) -> Iterator[str]:
    """Read every document, and yield a line for each problem."""
    count = last = 0
    while True:
        rows = connection.execute(
            "SELECT number, key, metadata::text, id, source, body FROM documents WHERE number > %s "
            "ORDER BY number LIMIT %s",
            [last, _PAGE],
        ).fetchall()
        for number, *row in rows:
            last, count = number, count + 1
            yield from _wrong_document(number, *row)
        if not rows:
            break
    if count != state.documents:
        yield f"{state.documents} documents were counted, but there are {count}; rebuild the index."
    if last >= state.next_document:
        yield f"Document number {last} is above the last one given."


def _wrong_document(
    number: int, key: bytes, metadata: str, name: str, source: str | None, body: str
) -> Iterator[str]:
    try:
        document = read_body(name, source, body)
    except (ValueError, TypeError) as error:
        yield f"Document number {number} can't be read: {error}."
        return
    if id_key(document.id) != key:
        yield f"Document number {number} can't be found by its id {document.id!r}."
    if _numbers_read(metadata) != _numbers_read(comparable(document.metadata)):
        yield f"Document number {number} is filtered by other metadata than its own."


def _numbers_read(text: str) -> Any:
    """Parse JSON with all digits of its numbers."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _wrong_layout(connection: Connection, state: State, layout: Layout) -> Iterator[str]:
    number = layout.number
    passages, vectors = f"passages_{number}", f"vectors_{number}"
    counts = {
        f"passages in {passages} belong to no document": f"FROM {passages} WHERE NOT EXISTS "
        "(SELECT FROM documents d WHERE d.number = document)",
        f"vectors in {vectors} belong to no passage": f"FROM {vectors} v WHERE NOT EXISTS "
        f"(SELECT FROM {passages} p WHERE p.number = v.passage AND p.document = v.document)",
        f"passages in {passages} have a number above the last one given": f"FROM {passages} "
        f"WHERE number >= {state.next_passage}",
        f"passages in {passages} end before they begin": f"FROM {passages} WHERE start < 0 OR stop < start",
    }
    for what, rows in counts.items():
        if found := _number(connection, f"SELECT count(*) {rows}"):
            yield f"{found} {what}."
    for what, table, counted in (
        ("passages", passages, layout.passages),
        ("vectors", vectors, layout.vectors),
    ):
        there = _number(connection, f"SELECT count(*) FROM {table}")  # noqa: S608
        if there != counted:
            yield f"{counted} {what} were counted in {table}, but there are {there}; rebuild the index."


def _unprepared_count(number: int) -> str:
    return (
        "SELECT count(*) FROM documents WHERE NOT EXISTS "  # noqa: S608
        f"(SELECT FROM prepared_{number} WHERE document = number)"
    )


def _size(connection: Connection, table: str) -> int:
    return _number(connection, f"SELECT pg_total_relation_size('{table}'::regclass)")


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
