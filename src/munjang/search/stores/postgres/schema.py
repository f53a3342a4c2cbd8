"""The tables of an index in PostgreSQL, created by numbered steps that also upgrade an older version.

``state`` has one row. ``documents`` exists once. Passages, words and vectors belong to a *layout*, the tables
for certain settings: a migration to other settings fills the tables of a second layout, and `switch` makes it
the current layout in ``state``. So readers of an earlier snapshot can still read the tables of the first.

Passages refer to documents without a foreign key, because dropping the tables of an old layout would
otherwise lock ``documents`` against readers. There is one writer at a time, and `check` finds passages
without a document.
"""

from __future__ import annotations

from dataclasses import dataclass

from munjang.errors import StoreBusyError, StoreError
from munjang.search.settings import IndexSettings, read_settings, write_settings
from munjang.search.stores.postgres.connection import Connection, Session, quoted_name
from munjang.search.stores.postgres.encoding import escaped, unescaped

VECTOR_DIMENSIONS = 2_000  # maximum dimensions of an HNSW index in float32
HALF_DIMENSIONS = 4_000  # maximum dimensions of an HNSW index in float16
_INLINE_DIMENSIONS = 1_900  # vectors that fit into a page of 8 KiB together with the row's header
_LOCK = ""  # the lock for upgrades; a schema's name is never empty
_OLDEST_PGVECTOR = (0, 8)  # the first version that continues a search when a filter drops too many rows

_STEPS = (
    """
    CREATE TABLE state (
        sole boolean PRIMARY KEY DEFAULT true CHECK (sole),
        identity uuid NOT NULL DEFAULT gen_random_uuid(),
        generation bigint NOT NULL DEFAULT 0,
        layout integer,
        moving integer,
        next_layout integer NOT NULL DEFAULT 1,
        documents bigint NOT NULL DEFAULT 0,
        next_document bigint NOT NULL DEFAULT 1,
        next_passage bigint NOT NULL DEFAULT 1
    );
    INSERT INTO state DEFAULT VALUES;
    CREATE TABLE layouts (
        number integer PRIMARY KEY,
        settings text NOT NULL,
        passages bigint NOT NULL DEFAULT 0,
        vectors bigint NOT NULL DEFAULT 0,
        words bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE documents (
        number bigint PRIMARY KEY,
        key bytea NOT NULL UNIQUE,
        id text NOT NULL,
        source text,
        digest bytea NOT NULL,
        metadata jsonb NOT NULL,
        body text NOT NULL
    );
    CREATE INDEX documents_source ON documents USING hash (source) WHERE source IS NOT NULL;
    CREATE INDEX documents_metadata ON documents USING gin (metadata jsonb_path_ops);
    """,
)
VERSION = len(_STEPS)

_LAYOUT = """
    CREATE TABLE passages_{number} (
        number bigint PRIMARY KEY,
        document bigint NOT NULL,
        field text NOT NULL,
        start integer NOT NULL,
        stop integer NOT NULL,
        length integer NOT NULL,
        words tsvector NOT NULL
    );
    CREATE INDEX passages_{number}_document ON passages_{number} (document);
    CREATE INDEX passages_{number}_words ON passages_{number} USING gin (words);
    CREATE TABLE vectors_{number} (
        passage bigint PRIMARY KEY,
        document bigint NOT NULL,
        vector vector({dimension}) NOT NULL
    );
    CREATE INDEX vectors_{number}_document ON vectors_{number} (document);
    CREATE TABLE prepared_{number} (document bigint PRIMARY KEY);
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The tables of an index's settings, and their row counts."""

    number: int
    settings: IndexSettings
    passages: int
    vectors: int
    words: int

    @property
    def distance(self) -> str:
        """The operator of pgvector that orders by similarity."""
        return "<#>" if self.settings.similarity == "dot" else "<=>"

    @property
    def indexed(self) -> str | None:
        """The expression of the HNSW index; ``None`` for vectors that are too long for HNSW."""
        return _indexed(self.settings.dimension)


@dataclass(frozen=True, slots=True)
class State:
    """The row of ``state``, with its layouts."""

    identity: str
    generation: int
    documents: int
    next_document: int
    next_passage: int
    layout: Layout | None
    moving: Layout | None

    @property
    def layouts(self) -> list[Layout]:
        """The layouts in use."""
        return [layout for layout in (self.layout, self.moving) if layout is not None]


def read_state(connection: Connection) -> State:
    """Return the state as seen by the transaction."""
    row = connection.execute(
        "SELECT identity::text, generation, documents, next_document, next_passage, layout, moving FROM state"
    ).fetchone()
    if row is None:
        raise StoreError("The index has lost its state: the table 'state' is empty.")
    rows = connection.execute("SELECT number, settings, passages, vectors, words FROM layouts").fetchall()
    layouts = {
        number: Layout(number, read_settings(unescaped(settings)), *counts)
        for number, settings, *counts in rows
    }
    identity, generation, documents, next_document, next_passage, layout, moving = row
    values = (identity, generation, documents, next_document, next_passage)
    return State(*values, layouts.get(layout), layouts.get(moving))


def hold_tables(connection: Connection, state: State) -> bool:
    """Lock the tables against being dropped during the transaction; return false if they do not exist."""
    from psycopg.errors import UndefinedTable

    tables = [f"{table}_{layout.number}" for layout in state.layouts for table in ("passages", "vectors")]
    try:
        if tables:
            connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE".encode())
    except UndefinedTable:
        return False
    return True


# Creation and upgrades


def upgrade(session: Session, *, create: bool) -> None:
    """Create the tables or upgrade them to this version.

    Raises `StoreError` if there is no index and ``create`` is false, if pgvector is missing, and if the index
    has a newer version.
    """
    schema = session.address.schema
    with session.reading() as connection:
        current = read_version(connection, schema) == VERSION
        vectors = _vector_schema(connection)
    if current and vectors is not None:
        session.set_search_path(schema, vectors)
        return
    with session.writing(lock=_LOCK) as connection:
        vectors = _require_pgvector(session, connection, create=create)
        _run_steps(session, connection, create=create)
    session.set_search_path(schema, vectors)


def read_version(connection: Connection, schema: str) -> int:
    """Return the schema version, the number of applied steps; 0 if there is no index."""
    row = connection.execute("SELECT to_regclass(%s)::oid", [f"{quoted_name(schema)}.migrations"]).fetchone()
    if row is None or row[0] is None:
        return 0
    name = quoted_name(schema)
    row = connection.execute(f"SELECT max(number) FROM {name}.migrations".encode()).fetchone()  # noqa: S608
    return int(row[0] or 0) if row else 0


def _run_steps(session: Session, connection: Connection, *, create: bool) -> None:
    schema = session.address.schema
    version = read_version(connection, schema)
    if version > VERSION:
        raise StoreError(
            f"The index ({session.location}) has version {version}, but this program supports versions up to "
            f"{VERSION}. Install a newer munjang."
        )
    if version == 0 and not create:
        raise StoreError(f"There is no index ({session.location}).")
    name = quoted_name(schema)
    if version == 0:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}".encode())
    connection.execute(f"SET LOCAL search_path TO {name}".encode())
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY, done timestamptz DEFAULT now())"
    )
    for number, step in enumerate(_STEPS[version:], start=version + 1):
        connection.execute(step)
        connection.execute("INSERT INTO migrations (number) VALUES (%s)", [number])


def _vector_schema(connection: Connection) -> str | None:
    """Return the schema of pgvector; raise `StoreError` if pgvector is too old."""
    row = connection.execute(
        "SELECT n.nspname, e.extversion FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
        "WHERE e.extname = 'vector'"
    ).fetchone()
    if row is None:
        return None
    if tuple(int(part) for part in row[1].split(".")[:2]) < _OLDEST_PGVECTOR:
        raise StoreError(
            f"The database has pgvector {row[1]}, 0.8 or later is needed: "
            "install it, then run ALTER EXTENSION vector UPDATE."
        )
    return str(row[0])


def _require_pgvector(session: Session, connection: Connection, *, create: bool) -> str:
    import psycopg

    vectors = _vector_schema(connection)
    if vectors is None and create:
        _require_utf8(session, connection)
        try:
            connection.execute("CREATE EXTENSION vector")
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreError(
                f"The database ({session.location}) lacks the extension pgvector, and this user may not "
                "create it: an administrator must run CREATE EXTENSION vector in it."
            ) from error
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
            raise StoreError(
                f"The server of the database ({session.location}) has no pgvector: install it there, "
                "https://github.com/pgvector/pgvector."
            ) from error
        vectors = _vector_schema(connection)
    if vectors is None:
        raise StoreError(f"There is no index ({session.location}): the database has no extension pgvector.")
    return vectors


def _require_utf8(session: Session, connection: Connection) -> None:
    row = connection.execute("SHOW server_encoding").fetchone()
    if row is None or row[0] != "UTF8":
        raise StoreError(
            f"The database ({session.location}) is encoded as {row and row[0]}; "
            "create a database with ENCODING 'UTF8'."
        )


# Layouts


def _indexed(dimension: int) -> str | None:
    if dimension <= VECTOR_DIMENSIONS:
        return "vector"
    return f"(vector::halfvec({dimension}))" if dimension <= HALF_DIMENSIONS else None


def nearest_index(number: int, settings: IndexSettings, how: str = "") -> str | None:
    """Return the SQL that creates a layout's HNSW index; ``None`` for vectors too long for HNSW."""
    indexed = _indexed(settings.dimension)
    if indexed is None:
        return None
    kind = "halfvec" if "halfvec" in indexed else "vector"
    operators = f"{kind}_{'ip' if settings.similarity == 'dot' else 'cosine'}_ops"
    name = f"vectors_{number}_nearest"
    return f"CREATE INDEX {how} IF NOT EXISTS {name} ON vectors_{number} USING hnsw ({indexed} {operators})"


def add_layout(connection: Connection, settings: IndexSettings) -> int:
    """Create empty tables for settings; return the layout's number."""
    row = connection.execute(
        "UPDATE state SET next_layout = next_layout + 1 RETURNING next_layout"
    ).fetchone()
    assert row is not None
    number = int(row[0]) - 1
    dimension = settings.dimension
    connection.execute(_LAYOUT.format(number=number, dimension=dimension).encode())
    if dimension <= _INLINE_DIMENSIONS:  # a vector is then read from one page
        connection.execute(f"ALTER TABLE vectors_{number} ALTER vector SET STORAGE PLAIN".encode())
    command = nearest_index(number, settings)
    if command is not None:
        connection.execute(command.encode())
    connection.execute(
        "INSERT INTO layouts (number, settings) VALUES (%s, %s)", [number, escaped(write_settings(settings))]
    )
    return number


def drop_unused(session: Session) -> None:
    """Drop the tables of unused layouts; tables locked by a reader are dropped the next time."""
    try:
        with session.writing() as connection:
            connection.execute("SET LOCAL lock_timeout = '200ms'")
            used = connection.execute("SELECT number FROM layouts").fetchall()
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s "
                "AND tablename ~ '^(passages|vectors|prepared)_[0-9]+$'",
                [session.address.schema],
            ).fetchall()
            for (table,) in tables:
                if int(table.rsplit("_", 1)[1]) not in {row[0] for row in used}:
                    connection.execute(f"DROP TABLE {table}".encode())
    except StoreBusyError:
        return
