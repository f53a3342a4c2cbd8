"""Integrity checks of an index in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from munjang.search.stores.sqlite.reader import SqliteReader
from munjang.search.stores.sqlite.vectors import DerivedVectors, Moment, compare_all

if TYPE_CHECKING:
    import apsw

__all__ = ["problems"]

_SAMPLES = 3  # sampled vectors used as queries to compare matrix and database
_NEAREST = 10
_TOLERANCE = 1e-5

# A passage must lie within its field. SQLite's `length` counts a text only up to a NUL character.
_MISPLACED = """
    SELECT count(*) FROM passage JOIN document ON document.number = passage.document
    WHERE NOT EXISTS (
        SELECT 1 FROM json_each(document.fields) AS field
        WHERE field.key = passage.field AND 0 <= passage.start AND passage.start <= passage."end"
        AND (passage."end" <= length(field.value) OR instr(document.fields, '\\u0000'))
    )
"""
_COUNTS = {
    "passages lie outside their document's fields": _MISPLACED,
    "passages can't be found by word": "SELECT count(*) FROM passage WHERE number NOT IN "
    "(SELECT id FROM words_docsize)",
    "rows of the full text belong to no passage": "SELECT count(*) FROM words_docsize WHERE id NOT IN "
    "(SELECT number FROM passage)",
    "passages have a number above the last one given": "SELECT count(*) FROM passage WHERE number > "
    "(SELECT last_passage FROM state)",
    "vectors are marked as removed": "SELECT count(*) FROM tombstone JOIN vector USING (passage)",
    "generations are above the last": "SELECT count(*) FROM generation WHERE number > "
    "(SELECT generation FROM state)",
    "documents are prepared for a move that was not begun": "SELECT count(*) FROM staged "
    "WHERE (SELECT target IS NULL FROM state)",
}


def problems(reader: SqliteReader, vectors: DerivedVectors) -> Iterator[str]:
    """Yield a line for each problem."""
    connection = reader.connection
    broken = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    if broken:
        yield from (f"SQLite: {line}" for line in broken)
        return  # the checks below may fail on a damaged file
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchall():
        yield f"Row {row} of '{table}' refers to a row of '{parent}' that is missing."
    for what, query in _COUNTS.items():
        if count := connection.execute(query).get:
            yield f"{count} {what}."
    if reader.moment is not None:
        yield from _vector_problems(connection, reader.moment, vectors)


def _vector_problems(connection: apsw.Connection, moment: Moment, vectors: DerivedVectors) -> Iterator[str]:
    size = 4 * moment.settings.dimension
    wrong = connection.execute("SELECT count(*) FROM vector WHERE length(value) <> ?", (size,)).get
    if wrong:
        yield f"{wrong} vectors have another length than {moment.settings.dimension} dimensions."
        return
    stored = connection.execute("SELECT count(*) FROM vector").get
    derived = vectors.count(connection, moment)
    if derived is not None and derived != stored:
        yield f"'{vectors.path.name}' shows {derived} vectors, but there are {stored}; rebuild the index."
    elif not _agrees(connection, moment, vectors):
        yield f"A search in '{vectors.path.name}' finds something else than is stored; rebuild the index."
    yield from vectors.damage()


def _agrees(connection: apsw.Connection, moment: Moment, vectors: DerivedVectors) -> bool:
    """Return whether the matrix and an exact scan of the database find the same for sampled vectors."""
    rows = connection.execute(
        "SELECT value FROM vector ORDER BY passage DESC LIMIT ?", (_SAMPLES,)
    ).fetchall()
    for (blob,) in rows:
        if not isinstance(blob, bytes):
            raise TypeError("a vector is no blob")
        query = np.frombuffer(blob, dtype="<f4")
        expected = compare_all(connection, moment, query, _NEAREST)
        found = vectors.search(connection, moment, query, _NEAREST, exact=True)
        scores = np.array([match.score for match in expected])
        if len(found) != len(expected) or not np.allclose(
            [match.score for match in found], scores, rtol=_TOLERANCE, atol=_TOLERANCE
        ):
            return False
    return True
