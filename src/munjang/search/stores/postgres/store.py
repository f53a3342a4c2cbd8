"""`PostgresStore`: an index in PostgreSQL with pgvector (extra ``postgres``), for many machines.

An index is a schema. Every write is a transaction that holds the schema's writer lock; readers use a snapshot
and are never blocked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from munjang.errors import InputError, StoreError
from munjang.search.documents import Document, Entry
from munjang.search.settings import IndexSettings, check_same_settings, migrated_error
from munjang.search.stores.base import Changes, Reader, StoreInfo
from munjang.search.stores.postgres.checks import check_index, count_unstaged
from munjang.search.stores.postgres.connection import Connection, Session, parse_address
from munjang.search.stores.postgres.reader import PostgresReader
from munjang.search.stores.postgres.schema import (
    VERSION,
    Layout,
    State,
    add_layout,
    drop_unused,
    hold_tables,
    nearest_index,
    read_state,
    upgrade,
)
from munjang.search.stores.postgres.writer import abandon, begin_migration, stage, switch, unstaged, write

EXACT_BELOW = 10_000  # up to this number of vectors every search is exact
_TABLES = ("passages", "vectors", "prepared")


def open_postgres(
    url: str,
    *,
    schema: str | None = None,
    create: bool = True,
    readonly: bool = False,
    busy_timeout: float = 30.0,
    exact_below: int = EXACT_BELOW,
) -> PostgresStore:
    """Open an index in a database, or create it.

    Args:
        url: ``postgresql://user:password@host:port/database``, with ``?schema=name`` for another schema than
            ``munjang``; other libpq parameters are allowed.
        schema: the schema; it overrides ``url``.
        create: create the schema and its tables if they do not exist.
        readonly: refuse every write.
        busy_timeout: seconds to wait for another writer.
        exact_below: up to this number of vectors a search is exact; above it uses HNSW.

    Raises `StoreError` if the server can't be reached or rejects the login, if pgvector is missing and can't
    be created, if the index is of a newer version, and without ``create`` if the index does not exist;
    `InputError` for an invalid address; `MissingExtraError` without psycopg.
    """
    session = Session(parse_address(url, schema), busy_timeout=busy_timeout)
    try:
        upgrade(session, create=create and not readonly)
        return PostgresStore(session, readonly=readonly, exact_below=exact_below)
    except BaseException:
        session.close()
        raise


class PostgresStore:
    """A `Store` in PostgreSQL, created by `open_postgres`. Thread-safe."""

    def __init__(self, session: Session, *, readonly: bool, exact_below: int) -> None:
        self._session = session
        self._readonly = readonly
        self._exact_below = exact_below

    @property
    def settings(self) -> IndexSettings | None:
        """The settings of the index; ``None`` before `create`."""
        with self._reading() as (_, state):
            return state.layout.settings if state.layout else None

    def create(self, settings: IndexSettings) -> None:
        """Create an index; no effect if it exists with these settings, else raise `IndexMismatchError`."""
        stored = self.settings
        if stored is None:
            with self._writing() as (connection, state):
                if state.layout is None:
                    number = add_layout(connection, settings)
                    connection.execute("UPDATE state SET layout = %s", [number])
                else:  # another process was first
                    stored = state.layout.settings
        if stored is not None:
            check_same_settings(stored, settings, self._session.location)

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """Yield a reader of one snapshot."""
        with self._reading() as (connection, state):
            reader = PostgresReader(self._session, connection, state, self._exact_below)
            try:
                yield reader
            finally:
                reader.ended = True

    def write(self, changes: Changes) -> int:
        """Write the changes in one transaction; return the number of documents deleted."""
        with self._writing() as (connection, state):
            layout = self._current(state)
            if changes.settings not in (None, layout.settings):
                raise migrated_error(layout.settings, self._session.location)
            return write(connection, state, layout, changes)

    def unstaged(self, target: IndexSettings, limit: int) -> Sequence[Document]:
        """Return documents not yet staged in the migration to ``target``; the first call starts it."""
        with self._writing() as (connection, state):
            self._current(state)
            return unstaged(connection, begin_migration(connection, state, target), limit)

    def stage(self, target: IndexSettings, entries: Sequence[Entry]) -> None:
        """Stage prepared entries of the migration, invisible to searches until `switch`."""
        with self._writing() as (connection, state):
            self._current(state)
            stage(connection, state, target, entries)

    def switch(self, target: IndexSettings) -> bool:
        """Activate the staged entries atomically; return false and do nothing if documents are unstaged."""
        with self._writing() as (connection, state):
            if not switch(connection, state, self._current(state), target):
                return False
        drop_unused(self._session)
        return True

    def abandon(self) -> None:
        """Delete a started migration."""
        with self._writing() as (connection, state):
            abandon(connection, state)
        drop_unused(self._session)

    def rebuild(self) -> None:
        """Update the counts, vacuum the tables and rebuild their indexes; searches are not blocked.

        A missing HNSW index is created again (users may drop it to load millions of vectors faster). The
        space of deleted rows is free for new rows; only ``VACUUM FULL``, which blocks readers, would return
        it to the operating system.
        """
        with self._writing() as (connection, state):
            _count_rows(connection, state)
        names = [f"{table}_{layout.number}" for layout in state.layouts for table in _TABLES]
        with self._session.exclusive() as connection:
            for name in ("documents", *names):
                connection.execute(f"VACUUM (ANALYZE) {name}".encode())
                connection.execute(f"REINDEX TABLE CONCURRENTLY {name}".encode())
            for layout in state.layouts:
                command = nearest_index(layout.number, layout.settings, "CONCURRENTLY")
                if command is not None:
                    connection.execute(command.encode())
        drop_unused(self._session)

    def check(self) -> Sequence[str]:
        """Return a line for each problem; empty without problems."""
        with self._reading() as (connection, state), self._session.translate_errors():
            return list(check_index(connection, state))

    def info(self) -> StoreInfo:
        """Return counts, sizes and details of the store; the bytes of a table include its indexes."""
        with self._reading() as (connection, state), self._session.translate_errors():
            sizes = {"documents": _table_bytes(connection, "documents")}
            for layout in state.layouts:
                suffix = " (prepared)" if layout is state.moving else ""
                for table in ("passages", "vectors"):
                    sizes[f"{table}{suffix}"] = _table_bytes(connection, f"{table}_{layout.number}")
            row = connection.execute(
                "SELECT current_setting('server_version'), "
                "(SELECT extversion FROM pg_extension WHERE extname = 'vector')"
            ).fetchone()
            assert row is not None
            details = {"kind": "PostgreSQL", "place": self._session.location, "version": str(VERSION)}
            details |= {"server": str(row[0]), "pgvector": str(row[1]), "identity": state.identity}
            if state.moving is not None:
                left = count_unstaged(connection, state.moving.number)
                details["moving to"] = f"{state.moving.settings.model}, {left} documents to prepare"
            return StoreInfo(
                documents=state.documents,
                passages=state.layout.passages if state.layout else 0,
                vectors=state.layout.vectors if state.layout else 0,
                generation=state.generation,
                bytes=sizes,
                details=details,
            )

    def close(self) -> None:
        """Close the connections; closing twice is not an error."""
        self._session.close()

    @contextmanager
    def _reading(self) -> Iterator[tuple[Connection, State]]:
        """Yield a connection and the state of a snapshot, whose tables are locked against being dropped.

        If `switch` drops the tables between the two, the state is read again. Raises `StoreError` if they are
        missing.
        """
        before: list[Layout] | None = None
        while True:
            with ExitStack() as stack:
                connection = stack.enter_context(self._session.reading())
                with self._session.translate_errors():
                    state = read_state(connection)
                if hold_tables(connection, state):
                    yield connection, state
                    return
            if state.layouts == before:
                raise StoreError(f"The index ({self._session.location}) is damaged: its tables are missing.")
            before = state.layouts

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, State]]:
        """Yield a connection and the current state in a write transaction."""
        if self._readonly:
            raise StoreError(f"The index ({self._session.location}) was opened for reading only.")
        with self._session.writing() as connection:
            yield connection, read_state(connection)

    def _current(self, state: State) -> Layout:
        if state.layout is None:
            raise InputError(f"The index ({self._session.location}) has no settings yet: call create first.")
        return state.layout


def _table_bytes(connection: Connection, table: str) -> int:
    row = connection.execute(f"SELECT pg_total_relation_size('{table}'::regclass)".encode()).fetchone()
    return int(row[0]) if row else 0


def _count_rows(connection: Connection, state: State) -> None:
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
