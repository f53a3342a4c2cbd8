"""Migration of an index in PostgreSQL to other settings: unprepared documents, and staging of entries."""

from __future__ import annotations

from collections.abc import Sequence

from munjang.search.documents import Document, Entry
from munjang.search.stores.postgres.connection import Connection
from munjang.search.stores.postgres.schema import Layout
from munjang.search.stores.postgres.text import id_key, read_body
from munjang.search.stores.postgres.writer import PostgresWriter

__all__ = ["first_unprepared", "stage_entries", "unprepared"]

_LEFT = "NOT EXISTS (SELECT FROM prepared_{number} WHERE document = number)"


def first_unprepared(connection: Connection, number: int, limit: int) -> list[Document]:
    """Return the first documents that a layout lacks.

    Documents are prepared in order, so normally these follow the last prepared document; only at the end all
    documents are scanned for writes during the migration.
    """
    after = f"number > (SELECT coalesce(max(document), 0) FROM prepared_{number})"  # noqa: S608
    found: list[Document] = []
    for condition in (after, _LEFT.format(number=number)):
        rows = connection.execute(
            f"SELECT id, source, body FROM documents WHERE {condition} ORDER BY documents.number "  # noqa: S608
            "LIMIT %s".encode(),
            [max(limit, 0)],
        )
        found = [read_body(*row) for row in rows]
        if len(found) >= limit:
            break
    return found


def unprepared(connection: Connection, number: int) -> bool:
    """Return whether a layout lacks a document."""
    left = _LEFT.format(number=number)
    row = connection.execute(f"SELECT EXISTS (SELECT FROM documents WHERE {left})".encode()).fetchone()  # noqa: S608
    return bool(row and row[0])


def stage_entries(
    connection: Connection, writer: PostgresWriter, layout: Layout, entries: Sequence[Entry]
) -> None:
    """Write entries into the layout of a migration; skip entries of deleted or changed documents."""
    keys = {id_key(entry.document.id): entry for entry in entries}
    rows = connection.execute(
        "SELECT key, number, digest FROM documents WHERE key = ANY(%s)", [list(keys)]
    ).fetchall()
    fitting = [(number, keys[key]) for key, number, digest in rows if keys[key].digest == digest]
    numbers = sorted(number for number, _ in fitting)
    writer.forget(numbers, [layout])
    writer.prepare(layout, sorted(fitting, key=lambda pair: pair[0]))
    with connection.cursor() as cursor, cursor.copy(f"COPY prepared_{layout.number} FROM STDIN") as copy:
        for number in numbers:
            copy.write_row((number,))
