"""Integrity checks of an index in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from munjang.search.stores.sqlite.reader import SqliteReader
from munjang.search.stores.sqlite.vectors import DerivedVectors, compare_all
from munjang.search.vectors.file import Stamp

if TYPE_CHECKING:
    import apsw

    from munjang.search.vectors.matrix import VectorMatrix

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
    "passages have a number above the last assigned number": "SELECT count(*) FROM passage WHERE number > "
    "(SELECT last_passage FROM state)",
    "vectors are marked as removed": "SELECT count(*) FROM tombstone JOIN vector USING (passage)",
    "generations are above the last generation": "SELECT count(*) FROM generation WHERE number > "
    "(SELECT generation FROM state)",
    "documents are staged for a migration that was not started": "SELECT count(*) FROM staged "
    "WHERE (SELECT target IS NULL FROM state)",
}


def check_index(reader: SqliteReader, vectors: DerivedVectors) -> Iterator[str]:
    """Yield a line for each problem."""
    connection = reader.connection
    damage = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    if damage:
        yield from (f"SQLite: {line}" for line in damage)
        return  # the checks below may fail on a damaged file
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchall():
        yield f"Row {row} of '{table}' refers to a row of '{parent}' that is missing."
    for problem, query in _COUNTS.items():
        if count := connection.execute(query).get:
            yield f"{count} {problem}."
    if (stamp := reader.stamp) is not None:
        yield from _vector_problems(connection, stamp, vectors)


def _vector_problems(connection: apsw.Connection, stamp: Stamp, vectors: DerivedVectors) -> Iterator[str]:
    size = 4 * stamp.dimension
    wrong = connection.execute("SELECT count(*) FROM vector WHERE length(value) <> ?", (size,)).get
    if wrong:
        yield f"{wrong} vectors do not have {stamp.dimension} dimensions."
        return
    stored = connection.execute("SELECT count(*) FROM vector").get
    matrix = vectors.matrix_at(connection, stamp)
    if matrix is not None and len(matrix) != stored:
        yield f"'{vectors.path.name}' has {len(matrix)} vectors, the index has {stored}; rebuild the index."
    elif matrix is not None and not _agrees(connection, stamp, matrix):
        yield f"A search in '{vectors.path.name}' differs from the stored vectors; rebuild the index."
    yield from vectors.damage()


def _agrees(connection: apsw.Connection, stamp: Stamp, matrix: VectorMatrix) -> bool:
    """Return whether the matrix and an exact scan of the database find the same for sampled vectors."""
    rows = connection.execute(
        "SELECT value FROM vector ORDER BY passage DESC LIMIT ?", (_SAMPLES,)
    ).fetchall()
    for (blob,) in rows:
        if not isinstance(blob, bytes):
            raise TypeError("a vector is not a blob")
        query = np.frombuffer(blob, dtype="<f4")
        _, expected = compare_all(connection, stamp, query, _NEAREST)
        _, scores = matrix.search(query, _NEAREST, exact=True)
        if len(scores) != len(expected) or not np.allclose(
            scores, expected, rtol=_TOLERANCE, atol=_TOLERANCE
        ):
            return False
    return True
