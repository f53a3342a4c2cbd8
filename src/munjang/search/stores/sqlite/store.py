"""`SqliteStore`: an index in one SQLite file, the single source of truth; other files are derived from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from munjang.errors import InputError, StoreBusyError, StoreError
from munjang.search.documents import Document, Entry
from munjang.search.settings import IndexSettings, check_same_settings, migrated_error, write_settings
from munjang.search.stores.base import Changes, StoreInfo
from munjang.search.stores.sqlite.checks import check_index
from munjang.search.stores.sqlite.connection import (
    IndexFile,
    check_header,
    close_quietly,
    is_immutable,
    transaction,
    translate_errors,
)
from munjang.search.stores.sqlite.filters import install
from munjang.search.stores.sqlite.reader import SqliteReader
from munjang.search.stores.sqlite.schema import VERSION, State, read_state, read_version, upgrade
from munjang.search.stores.sqlite.vectors import DerivedVectors
from munjang.search.stores.sqlite.writer import (
    abandon,
    begin_migration,
    new_identity,
    rows_of,
    stage,
    switch,
    unstaged,
    write,
)

if TYPE_CHECKING:
    import apsw

_IDLE_READERS = 8


def open_sqlite(
    path: Path, *, create: bool, readonly: bool = False, busy_timeout: float = 30.0, vfs: str | None = None
) -> SqliteStore:
    """Open the index in a file, or create it.

    Args:
        path: the file; the files beside it have the suffixes ``-wal``, ``-shm`` and ``-vectors``.
        create: create the file if it does not exist; its folder must exist.
        readonly: refuse to change the index; only derived files may still be written beside it.
        busy_timeout: how many seconds a write waits for another writer.
        vfs: the name of a VFS registered with SQLite, instead of the default VFS.

    Raises `StoreError` if the file is missing, is not an index, or has a newer version.
    """
    file = IndexFile(path, readonly, busy_timeout, vfs)
    with translate_errors(path):
        _prepare(file, create=create and not readonly)
    return SqliteStore(file)


def _prepare(file: IndexFile, *, create: bool) -> None:
    """Check that the file is an index of the newest version; create or upgrade it if necessary."""
    if file.path.exists():
        check_header(file.path)
    elif not create:
        raise StoreError(f"There is no index at '{file.path}'.")
    elif not file.path.parent.is_dir():
        raise StoreError(f"'{file.path}' can't be created: there is no folder '{file.path.parent}'.")
    version = _version(file) if file.path.exists() else 0
    if version == VERSION:
        return
    if not version and not create:
        raise StoreError(f"There is no index in '{file.path}': it is empty.")
    if file.readonly:
        raise StoreError(f"The index '{file.path}' has an older version; open it once for writing.")
    connection = file.writer(create=True)
    try:
        upgrade(connection, file.path)
    finally:
        close_quietly(connection)


def _version(file: IndexFile) -> int:
    connection = file.reader()
    try:
        return read_version(connection, file.path)
    finally:
        close_quietly(connection)


class SqliteStore:
    """An index in one file; `munjang.search.stores.base.Store` documents the methods.

    Thread-safe: each snapshot has a separate connection, and writes are serialized.
    """

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self.path = file.path
        self._vectors = DerivedVectors(file.path.with_name(f"{file.path.name}-vectors"))
        self._idle: list[apsw.Connection] = []
        self._writer: apsw.Connection | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def settings(self) -> IndexSettings | None:
        """The settings of the index; ``None`` before `create`."""
        with self.snapshot() as reader:
            return reader.settings

    def create(self, settings: IndexSettings) -> None:
        """Create an index; no effect if it exists with these settings, else raise `IndexMismatchError`."""
        stored = self.settings
        if stored is None:
            with self._writing() as (connection, state):
                stored = state.settings
                if stored is None:
                    connection.execute("UPDATE state SET settings = ?", (write_settings(settings),))
        if stored is not None:
            check_same_settings(stored, settings, str(self.path))

    @contextmanager
    def snapshot(self) -> Iterator[SqliteReader]:
        """Yield a reader of one snapshot."""
        with translate_errors(self.path):
            self._check_open()
            connection = self._idle_reader() or self._new_reader()
        with self._reading(connection) as reader:
            yield reader

    @contextmanager
    def _reading(self, connection: apsw.Connection) -> Iterator[SqliteReader]:
        with translate_errors(self.path):
            try:
                connection.execute("BEGIN")
                reader = SqliteReader(connection, self.path, self._vectors)
            except BaseException:
                close_quietly(connection)
                raise
        try:
            yield reader
        finally:
            reader.ended = True
            self._release(connection)

    def write(self, changes: Changes) -> int:
        """Write the changes atomically and durably; return the number of documents deleted."""
        with translate_errors(self.path):
            rows = rows_of(changes.put)
        with self._writing() as (connection, state):
            settings = state.settings
            if settings is None:
                raise InputError(f"The index '{self.path}' has no settings yet: call create first.")
            if changes.settings not in (None, settings):
                raise migrated_error(settings, str(self.path))
            return write(connection, state, settings, changes, rows)

    def unstaged(self, target: IndexSettings, limit: int) -> list[Document]:
        """Return documents not yet staged in the migration to ``target``; the first call starts it."""
        with self._writing() as (connection, state):
            begin_migration(connection, state, target)
            return unstaged(connection, limit)

    def stage(self, target: IndexSettings, entries: Sequence[Entry]) -> None:
        """Stage prepared entries of the migration, invisible to searches until `switch`."""
        with translate_errors(self.path):
            rows = rows_of(entries)
        with self._writing() as (connection, state):
            stage(connection, state, target, rows)

    def switch(self, target: IndexSettings) -> bool:
        """Activate the staged entries atomically; return false and do nothing if documents are unstaged."""
        with self._writing() as (connection, state):
            return switch(connection, state, target)

    def abandon(self) -> None:
        """Delete a started migration."""
        with self._writing() as (connection, _):
            abandon(connection)

    def rebuild(self) -> None:
        """Rebuild all derived data, and free the space of deleted data."""
        with self._writing() as (connection, state):
            new_identity(connection, state)
            connection.execute("INSERT INTO words (words) VALUES ('optimize')")
        with self._exclusive() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with self.snapshot() as reader:
            if (stamp := reader.stamp) is not None:
                self._vectors.rebuild(reader.connection, stamp)

    def check(self) -> list[str]:
        """Return a line for each problem; empty without problems."""
        self._check_open()
        with translate_errors(self.path):
            # In a connection that has searched, FTS5 checks cached data of an older snapshot, and reports
            # false damage. So use a new connection.
            connection = self._new_reader()
        problems: list[str] = []
        with self._reading(connection) as reader:
            try:
                with translate_errors(self.path):
                    problems.extend(check_index(reader, self._vectors))
            except StoreBusyError:
                raise
            except StoreError as error:  # the check itself failed
                problems.append(str(error))
        return problems

    def info(self) -> StoreInfo:
        """Return counts, sizes and details of the store."""
        with self.snapshot() as reader, translate_errors(self.path):
            count = {
                table: int(reader.connection.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608
                for table in ("document", "passage", "vector", "waiting")
            }
            details = {"kind": "SQLite", "path": str(self.path), "version": str(VERSION)}
            if target := reader.state.target:
                details["moving to"] = f"{target.model}, {count['waiting']} documents to prepare"
            if (stamp := reader.stamp) is not None:
                details |= self._vectors.describe(reader.connection, stamp)
            return StoreInfo(
                documents=count["document"],
                passages=count["passage"],
                vectors=count["vector"],
                generation=reader.state.generation,
                bytes=self._bytes(),
                details=details,
            )

    def close(self) -> None:
        """Close the file; closing twice is not an error."""
        with self._lock, translate_errors(self.path):
            self._closed = True
            self._drop_writer()
            while self._idle:
                close_quietly(self._idle.pop())
        self._vectors.close()

    def _bytes(self) -> dict[str, int]:
        names = {"database": "", "log of changes": "-wal", "vectors": "-vectors", "graph": "-vectors-graph"}
        files = {what: self.path.with_name(self.path.name + end) for what, end in names.items()}
        return {what: file.stat().st_size for what, file in files.items() if file.exists()}

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"The index '{self.path}' is closed.")

    def _idle_reader(self) -> apsw.Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _new_reader(self) -> apsw.Connection:
        connection = self._file.reader()
        install(connection)
        return connection

    def _release(self, connection: apsw.Connection) -> None:
        """Return a connection to the pool for the next snapshot.

        A connection that opened the file as immutable would not see later changes, so it is closed.
        """
        with translate_errors(self.path):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if self._closed or is_immutable(connection) or len(self._idle) >= _IDLE_READERS:
                close_quietly(connection)
            else:
                self._idle.append(connection)

    def _drop_writer(self) -> None:
        if self._writer is not None:
            close_quietly(self._writer)
            self._writer = None

    @contextmanager
    def _exclusive(self) -> Iterator[apsw.Connection]:
        """Yield the writing connection with exclusive access."""
        self._check_open()
        if self._file.readonly:
            raise StoreError(f"The index '{self.path}' was opened for reading only.")
        if not self._lock.acquire(timeout=self._file.busy_timeout):
            raise StoreBusyError(f"The index '{self.path}' is busy: another thread keeps writing to it.")
        try:
            with translate_errors(self.path):
                self._check_open()
                if self._writer is None:
                    self._writer = self._file.writer()
                yield self._writer
        except StoreBusyError:
            raise
        except StoreError:
            self._drop_writer()  # the next write starts from the state on disk
            raise
        finally:
            self._lock.release()

    @contextmanager
    def _writing(self) -> Iterator[tuple[apsw.Connection, State]]:
        """Yield the connection and the current state in a write transaction."""
        with self._exclusive() as connection, transaction(connection):
            yield connection, read_state(connection)
