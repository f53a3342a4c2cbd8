"""Integrity checks of an index in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from munjang.search.stores.postgres.connection import Connection
from munjang.search.stores.postgres.encoding import comparable, id_key, read_document
from munjang.search.stores.postgres.schema import Layout, State

_PAGE = 500


def check_index(connection: Connection, state: State) -> Iterator[str]:
    """Yield a line for each problem."""
    yield from _index_problems(connection)
    yield from _document_problems(connection, state)
    for layout in state.layouts:
        yield from _layout_problems(connection, state, layout)


def _index_problems(connection: Connection) -> Iterator[str]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = current_schema() AND NOT (i.indisvalid AND i.indisready)"
    )
    for (name,) in rows:
        yield f"The index '{name}' was not finished; rebuild the index."


def _document_problems(connection: Connection, state: State) -> Iterator[str]:
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
            yield from _problems_of(number, *row)
        if not rows:
            break
    if count != state.documents:
        yield f"{state.documents} documents were counted, but there are {count}; rebuild the index."
    if last >= state.next_document:
        yield f"Document number {last} is above the last assigned number."


def _problems_of(
    number: int, key: bytes, metadata: str, name: str, source: str | None, body: str
) -> Iterator[str]:
    try:
        document = read_document(name, source, body)
    except (ValueError, TypeError) as error:
        yield f"Document number {number} can't be read: {error}."
        return
    if id_key(document.id) != key:
        yield f"Document number {number} can't be found by its id {document.id!r}."
    if _with_exact_numbers(metadata) != _with_exact_numbers(comparable(document.metadata)):
        yield f"Document number {number} has other metadata for filters than its own."


def _with_exact_numbers(text: str) -> Any:
    """Parse JSON with all digits of its numbers."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _layout_problems(connection: Connection, state: State, layout: Layout) -> Iterator[str]:
    number = layout.number
    passages, vectors = f"passages_{number}", f"vectors_{number}"
    counts = {
        f"passages in {passages} belong to no document": f"FROM {passages} WHERE NOT EXISTS "
        "(SELECT FROM documents d WHERE d.number = document)",
        f"vectors in {vectors} belong to no passage": f"FROM {vectors} v WHERE NOT EXISTS "
        f"(SELECT FROM {passages} p WHERE p.number = v.passage AND p.document = v.document)",
        f"passages in {passages} have a number above the last assigned number": f"FROM {passages} "
        f"WHERE number >= {state.next_passage}",
        f"passages in {passages} end before they begin": f"FROM {passages} WHERE start < 0 OR stop < start",
    }
    for problem, rows in counts.items():
        if count := _number(connection, f"SELECT count(*) {rows}"):
            yield f"{count} {problem}."
    for what, table, counted in (
        ("passages", passages, layout.passages),
        ("vectors", vectors, layout.vectors),
    ):
        actual = _number(connection, f"SELECT count(*) FROM {table}")  # noqa: S608
        if actual != counted:
            yield f"{counted} {what} were counted in {table}, but there are {actual}; rebuild the index."


def count_unstaged(connection: Connection, number: int) -> int:
    """Return the number of documents that are not staged in a layout."""
    return _number(
        connection,
        "SELECT count(*) FROM documents WHERE NOT EXISTS "  # noqa: S608
        f"(SELECT FROM prepared_{number} WHERE document = number)",
    )


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
