"""The tables of an index in SQLite, created by numbered steps that also upgrade a file of an older version.

A released step is never changed; a change of the schema is a further step. The table ``state`` has one row.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from munjang.errors import StoreError
from munjang.search.settings import IndexSettings, read_settings
from munjang.search.stores.sqlite.connection import APPLICATION, transaction

if TYPE_CHECKING:
    from pathlib import Path

    import apsw

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


@dataclass(frozen=True, slots=True)
class State:
    """The row of ``state``; settings are parsed only when they are needed, since they may be damaged."""

    identity: str
    generation: int
    last_passage: int
    settings_json: str | None
    target_json: str | None

    @property
    def settings(self) -> IndexSettings | None:
        """The settings of the index; ``None`` before it was created."""
        return None if self.settings_json is None else read_settings(self.settings_json)

    @property
    def target(self) -> IndexSettings | None:
        """The settings that the index is being migrated to, or ``None``."""
        return None if self.target_json is None else read_settings(self.target_json)


def read_state(connection: apsw.Connection) -> State:
    """Return the state as seen by the transaction; raise `ValueError` if it is damaged."""
    row = connection.execute(
        "SELECT identity, generation, last_passage, settings, target FROM state"
    ).fetchone()
    if row is None:
        raise ValueError("it has no state")
    state = State(*row)
    if not isinstance(state.identity, str) or not isinstance(state.generation, int):
        raise ValueError("its state has values of wrong types")
    return state


def read_version(connection: apsw.Connection, path: Path) -> int:
    """Return the schema version, 0 for a file without tables; `StoreError` for an unsupported file."""
    version = connection.pragma("user_version")
    application = connection.pragma("application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application != APPLICATION and (application or version or tables):
        raise StoreError(f"'{path}' is a database of another program. It was not changed.")
    if version > VERSION:
        raise StoreError(
            f"The index '{path}' has version {version}, but this program supports versions up to {VERSION}. "
            "Install a newer munjang."
        )
    return int(version)


def upgrade(connection: apsw.Connection, path: Path) -> None:
    """Create the tables or upgrade them to this version: all missing steps in one transaction."""
    with transaction(connection):
        done = read_version(connection, path)
        for step in _STEPS[done:]:
            connection.execute(step)
        if done < 1:
            connection.execute("INSERT INTO state VALUES (1, ?, 0, 0, NULL, NULL)", (uuid.uuid4().hex,))
            connection.pragma("application_id", APPLICATION)
        connection.pragma("user_version", VERSION)
    # Set last: a file that is not an index must not be changed.
    connection.pragma("journal_mode", "wal")
