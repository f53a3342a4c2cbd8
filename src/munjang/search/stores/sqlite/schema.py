"""The schema of an index as numbered migration steps, which upgrade a file of an older version.

A published step is never changed; changes are added as a further step.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from munjang.errors import StoreError
from munjang.search.stores.sqlite.connection import APPLICATION, transaction

if TYPE_CHECKING:
    from pathlib import Path

    import apsw

__all__ = ["VERSION", "migrate", "version_of"]

# `words` gets text that is already split into words. Its tokenizer splits only at spaces and control
# characters, and does not change non-ASCII characters; so it preserves the words.
_PUNCTUATION = "!\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~".replace('"', '""')
_WORDS = f"""fts5(text, content='', contentless_delete=1, detail=full,
    tokenize="ascii tokenchars '{_PUNCTUATION}'")"""

_STEPS = (
    f"""
    -- One row. What is derived belongs to one `identity`, which is another once it can't follow.
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        identity TEXT NOT NULL,
        generation INTEGER NOT NULL,
        last_passage INTEGER NOT NULL,
        settings TEXT,
        target TEXT
    ) STRICT;
    -- `id` is JSON, so that 17 and "17" are two. `plain`: SQL reads this metadata as Python does.
    CREATE TABLE document (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        digest BLOB NOT NULL,
        source TEXT,
        plain INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        fields TEXT NOT NULL
    ) STRICT;
    CREATE INDEX document_source ON document (source) WHERE source IS NOT NULL;
    -- Numbers come from state.last_passage and are never used again.
    CREATE TABLE passage (
        number INTEGER PRIMARY KEY,
        document INTEGER NOT NULL REFERENCES document (number),
        field TEXT NOT NULL,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX passage_document ON passage (document);
    CREATE TABLE vector (
        passage INTEGER PRIMARY KEY REFERENCES passage (number),
        value BLOB NOT NULL
    ) STRICT;
    CREATE VIRTUAL TABLE words USING {_WORDS};
    -- What changed since a generation: passages above its `last_passage`, and the tombstones after it.
    CREATE TABLE generation (number INTEGER PRIMARY KEY, last_passage INTEGER NOT NULL) STRICT;
    CREATE TABLE tombstone (passage INTEGER PRIMARY KEY, generation INTEGER NOT NULL) STRICT;
    CREATE INDEX tombstone_generation ON tombstone (generation);
    -- A move to other settings: documents that wait, and what was prepared.
    CREATE TABLE waiting (document INTEGER PRIMARY KEY REFERENCES document (number)) STRICT;
    CREATE TABLE staged (
        number INTEGER PRIMARY KEY,
        document INTEGER NOT NULL REFERENCES document (number),
        field TEXT NOT NULL,
        start INTEGER NOT NULL,
        "end" INTEGER NOT NULL,
        words TEXT NOT NULL,
        value BLOB
    ) STRICT;
    CREATE INDEX staged_document ON staged (document);
    """,
)
VERSION = len(_STEPS)


def version_of(connection: apsw.Connection, path: Path) -> int:
    """Return the schema version, 0 for a file without tables; `StoreError` for an unsupported file."""
    version = connection.pragma("user_version")
    application = connection.pragma("application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application != APPLICATION and (application or version or tables):
        raise StoreError(f"'{path}' is a database of another program. It was left as it is.")
    if version > VERSION:
        raise StoreError(
            f"The index '{path}' has version {version}, but this program knows versions up to {VERSION}. "
            "Install a newer munjang."
        )
    return int(version)


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Upgrade the tables to the newest version: all missing steps in one transaction."""
    with transaction(connection):
        done = version_of(connection, path)
        for step in _STEPS[done:]:
            connection.execute(step)
        if done < 1:
            connection.execute("INSERT INTO state VALUES (1, ?, 0, 0, NULL, NULL)", (uuid.uuid4().hex,))
            connection.pragma("application_id", APPLICATION)
        connection.pragma("user_version", VERSION)
    # Only now: a file that is not an index must not be changed.
    connection.pragma("journal_mode", "wal")
