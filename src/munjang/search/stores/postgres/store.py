"""`PostgresStore`: an index in PostgreSQL with pgvector (extra ``postgres``), for many machines.

An index is a schema. Every write is a transaction that holds the schema's writer lock; readers use a snapshot
and are never blocked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from munjang.errors import IndexMismatchError, InputError, StoreError
from munjang.search.documents import Document, Entry
from munjang.search.settings import check_same_settings, difference
from munjang.search.stores.base import Changes, IndexSettings, Reader, StoreInfo
from munjang.search.stores.postgres.checks import check_index, describe_index, rebuild_index
from munjang.search.stores.postgres.connection import Connection, Session, parse_address
from munjang.search.stores.postgres.migration import first_unprepared, stage_entries, unprepared
from munjang.search.stores.postgres.reader import PostgresReader
from munjang.search.stores.postgres.schema import (
    Layout,
    State,
    add_layout,
    drop_unused,
    hold_tables,
    prepare_schema,
    read_state,
)
from munjang.search.stores.postgres.writer import PostgresWriter

__all__ = ["PostgresStore", "open_postgres"]

EXACT_BELOW = 10_000  # up to this number of vectors a search is exact even if it need not be


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
        prepare_schema(session, create=create and not readonly)
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
        with self._moment() as (_, state):
            return state.layout.settings if state.layout else None

    def create(self, settings: IndexSettings) -> None:
        """Create an index; no effect if it exists with these settings, else raise `IndexMismatchError`."""
        stored = self.settings
        if stored is None:
            with self._change() as (connection, state):
                if state.layout is None:
                    number = add_layout(connection, settings)
                    connection.execute("UPDATE state SET layout = %s", [number])
                else:  # another process was first
                    stored = state.layout.settings
        if stored is not None:
            check_same_settings(stored, settings, self._session.place)

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """Yield a reader of one snapshot."""
        with self._moment() as (connection, state):
            reader = PostgresReader(self._session, connection, state, self._exact_below)
            try:
                yield reader
            finally:
                reader.ended = True

    def write(self, changes: Changes) -> int:
        """Write the changes in one transaction; return the number of documents deleted."""
        with self._change() as (connection, state):
            layout = self._begun(state)
            writer = PostgresWriter(connection, state)
            deleted = writer.delete(changes.delete)
            writer.put(layout, changes.put, new=changes.new)
            writer.finish()
        return deleted

    def unstaged(self, target: IndexSettings, limit: int) -> Sequence[Document]:
        """Return documents not yet staged in the migration to ``target``; the first call starts it."""
        with self._change() as (connection, state):
            moving = self._moving(state, target)
            if moving is None:
                number = add_layout(connection, target)
                connection.execute("UPDATE state SET moving = %s", [number])
            else:
                number = moving.number
            return first_unprepared(connection, number, limit)

    def stage(self, target: IndexSettings, entries: Sequence[Entry]) -> None:
        """Stage prepared entries of the migration; entries whose document has changed are dropped."""
        with self._change() as (connection, state):
            moving = self._moving(state, target)
            if moving is None:
                raise IndexMismatchError(f"No move to the model '{target.model}' was begun.")
            writer = PostgresWriter(connection, state)
            stage_entries(connection, writer, moving, entries)
            writer.finish()

    def switch(self, target: IndexSettings) -> bool:
        """Activate the staged entries atomically; return false and do nothing if documents are unstaged."""
        with self._change() as (connection, state):
            old, moving = self._begun(state), self._moving(state, target)
            if moving is None and state.documents:
                return False
            number = moving.number if moving else add_layout(connection, target)
            if unprepared(connection, number):
                return False
            connection.execute(
                "UPDATE state SET layout = %s, moving = NULL, generation = generation + 1", [number]
            )
            connection.execute("DELETE FROM layouts WHERE number = %s", [old.number])
        drop_unused(self._session)
        return True

    def abandon(self) -> None:
        """Delete a started migration."""
        with self._change() as (connection, state):
            if state.moving is None:
                return
            connection.execute("UPDATE state SET moving = NULL")
            connection.execute("DELETE FROM layouts WHERE number = %s", [state.moving.number])
        drop_unused(self._session)

    def rebuild(self) -> None:
        """Rebuild the indexes and counts, and free the space of deleted rows for new rows."""
        self._check_writable()
        rebuild_index(self._session)
        drop_unused(self._session)

    def check(self) -> Sequence[str]:
        """Return a line for each problem; empty without problems."""
        with self._moment() as (connection, state), self._session.explained():
            return check_index(connection, state)

    def info(self) -> StoreInfo:
        """Return counts, sizes and details of the store."""
        with self._moment() as (connection, state), self._session.explained():
            return describe_index(connection, state, self._session.place)

    def close(self) -> None:
        """Close the connections; closing twice is not an error."""
        self._session.close()

    @contextmanager
    def _moment(self) -> Iterator[tuple[Connection, State]]:
        with ExitStack() as stack:
            yield self._begun_moment(stack)

    def _begun_moment(self, stack: ExitStack) -> tuple[Connection, State]:
        """Begin to read, with the tables held; once more if `switch` dropped them just then.

        Raises `StoreError` if they are missing.
        """
        before: list[Layout] | None = None
        while True:
            with ExitStack() as attempt:
                connection = attempt.enter_context(self._session.reading())
                with self._session.explained():
                    state = read_state(connection)
                if hold_tables(connection, state):
                    stack.push(attempt.pop_all())
                    return connection, state
                if state.layouts == before:
                    raise StoreError(f"The index ({self._session.place}) is damaged: its tables are missing.")
                before = state.layouts

    @contextmanager
    def _change(self) -> Iterator[tuple[Connection, State]]:
        self._check_writable()
        with self._session.writing() as connection:
            yield connection, read_state(connection)

    def _check_writable(self) -> None:
        if self._readonly:
            raise StoreError(f"The index ({self._session.place}) was opened for reading only.")

    def _begun(self, state: State) -> Layout:
        if state.layout is None:
            raise InputError(f"The index ({self._session.place}) has no settings yet: call create first.")
        return state.layout

    def _moving(self, state: State, target: IndexSettings) -> Layout | None:
        """Return the layout of the migration to these settings; raise if it has another target."""
        self._begun(state)
        if state.moving is not None and (found := difference(state.moving.settings, target)) is not None:
            raise IndexMismatchError(
                f"A move to the model '{state.moving.settings.model}' was begun, with {found}. "
                "Finish it, or abandon it first."
            )
        return state.moving
