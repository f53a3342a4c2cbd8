"""`SqliteStore`: an index in one SQLite file, the single source of truth; other files are derived from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from munjang.errors import InputError, StoreBusyError, StoreError
from munjang.search.documents import Document, Entry
from munjang.search.settings import check_same_settings, write_settings
from munjang.search.stores.base import Changes, IndexSettings, StoreInfo
from munjang.search.stores.sqlite.checks import problems
from munjang.search.stores.sqlite.connection import (
    Place,
    check_header,
    explained,
    is_immutable,
    shut,
    transaction,
)
from munjang.search.stores.sqlite.filters import install
from munjang.search.stores.sqlite.migration import abandon, begin, stage, start_anew, switch
from munjang.search.stores.sqlite.reader import SqliteReader
from munjang.search.stores.sqlite.schema import VERSION, migrate, version_of
from munjang.search.stores.sqlite.vectors import DerivedVectors
from munjang.search.stores.sqlite.writer import State, check_vectors, ready, write

if TYPE_CHECKING:
    import apsw

__all__ = ["SqliteStore", "open_sqlite"]

_KEPT_READERS = 8


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
    place = Place(path, readonly, busy_timeout, vfs)
    with explained(path):
        _prepare(place, create=create and not readonly)
    return SqliteStore(place)


def _prepare(place: Place, *, create: bool) -> None:
    """Check that the file is an index of the newest version; create or upgrade it if necessary."""
    if place.path.exists():
        check_header(place.path)
    elif not create:
        raise StoreError(f"There is no index at '{place.path}'.")
    elif not place.path.parent.is_dir():
        raise StoreError(f"'{place.path}' can't be made: there is no folder '{place.path.parent}'.")
    version = _version(place) if place.path.exists() else 0
    if version == VERSION:
        return
    if not version and not create:
        raise StoreError(f"There is no index in '{place.path}': it is empty.")
    if place.readonly:
        raise StoreError(f"The index '{place.path}' is of an older version; open it once for writing.")
    connection = place.writer(create=True)
    try:
        migrate(connection, place.path)
    finally:
        shut(connection)


def _version(place: Place) -> int:
    connection = place.reader()
    try:
        return version_of(connection, place.path)
    finally:
        shut(connection)


class SqliteStore:
    """An index in one file; `munjang.search.stores.base.Store` documents the methods.

    Thread-safe: each snapshot has a separate connection, and writes are serialized.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.path = place.path
        self._vectors = DerivedVectors(place.path.with_name(f"{place.path.name}-vectors"))
        self._idle: list[apsw.Connection] = []
        self._writer: apsw.Connection | None = None
        self._writing = threading.Lock()
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
            with self._write() as (connection, state):
                stored = state.settings
                if stored is None:
                    connection.execute("UPDATE state SET settings = ?", (write_settings(settings),))
        if stored is not None:
            check_same_settings(stored, settings, str(self.path))

    @contextmanager
    def snapshot(self) -> Iterator[SqliteReader]:
        """Yield a reader of one snapshot."""
        with explained(self.path):
            self._check_open()
            connection = self._idle_reader() or self._new_reader()
        with self._reading(connection) as reader:
            yield reader

    @contextmanager
    def _reading(self, connection: apsw.Connection) -> Iterator[SqliteReader]:
        with explained(self.path):
            try:
                connection.execute("BEGIN")
                reader = SqliteReader(connection, self.path, self._vectors)
            except BaseException:
                shut(connection)
                raise
        try:
            yield reader
        finally:
            reader.ended = True
            self._give_back(connection)

    def write(self, changes: Changes) -> int:
        """Write the changes atomically and durably; return the number of documents deleted."""
        with explained(self.path):
            entries = ready(changes.put)
        with self._write() as (connection, state):
            if state.settings is None:
                raise InputError(f"The index '{self.path}' has no settings yet: call create first.")
            check_vectors(entries, state.settings.dimension)
            return write(connection, state, changes, entries)

    def unstaged(self, target: IndexSettings, limit: int) -> list[Document]:
        """Return documents not yet staged in the migration to ``target``; the first call starts it."""
        with self._write() as (connection, state):
            begin(connection, state, target)
        with self.snapshot() as reader:
            return reader.waiting(limit)

    def stage(self, target: IndexSettings, entries: Sequence[Entry]) -> None:
        """Stage prepared entries of the migration, invisible to searches until `switch`."""
        with explained(self.path):
            prepared = ready(entries)
        with self._write() as (connection, state):
            stage(connection, state, target, prepared)

    def switch(self, target: IndexSettings) -> bool:
        """Activate the staged entries atomically; return false and do nothing if documents are unstaged."""
        with self._write() as (connection, state):
            return switch(connection, state, target)

    def abandon(self) -> None:
        """Delete a started migration."""
        with self._write() as (connection, _):
            abandon(connection)

    def rebuild(self) -> None:
        """Rebuild all derived data, and free the space of deleted data."""
        with self._write() as (connection, state):
            start_anew(connection, state)
            connection.execute("INSERT INTO words (words) VALUES ('optimize')")
        with self._alone() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with self.snapshot() as reader:
            if reader.moment is not None:
                self._vectors.rebuild(reader.connection, reader.moment)

    def check(self) -> list[str]:
        """Return a line for each problem; empty without problems."""
        self._check_open()
        with explained(self.path):
            # In a connection that has searched, FTS5 checks cached data of an older snapshot, and reports
            # false damage. So use a new connection.
            connection = self._new_reader()
        found: list[str] = []
        with self._reading(connection) as reader:
            try:
                with explained(self.path):
                    found.extend(problems(reader, self._vectors))
            except StoreBusyError:
                raise
            except StoreError as error:  # the check itself failed
                found.append(str(error))
        return found

    def info(self) -> StoreInfo:
        """Return counts, sizes and details of the store."""
        with self.snapshot() as reader, explained(self.path):
            count = {
                table: int(reader.connection.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608
                for table in ("document", "passage", "vector", "waiting")
            }
            details = {"kind": "SQLite", "path": str(self.path), "version": str(VERSION)}
            if target := State.read(reader.connection).target:
                details["moving to"] = f"{target.model}, {count['waiting']} documents to prepare"
            if reader.moment is not None:
                details |= self._vectors.describe(reader.connection, reader.moment)
            return StoreInfo(
                documents=count["document"],
                passages=count["passage"],
                vectors=count["vector"],
                generation=reader.generation,
                bytes=self._bytes(),
                details=details,
            )

    def close(self) -> None:
        """Close the file; closing twice is not an error."""
        with self._writing, explained(self.path):
            self._closed = True
            self._drop_writer()
            while self._idle:
                shut(self._idle.pop())
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
        connection = self._place.reader()
        install(connection)
        return connection

    def _give_back(self, connection: apsw.Connection) -> None:
        """Return a connection to the pool for the next snapshot.

        A connection that opened the file as immutable would not see later changes, so it is closed.
        """
        with explained(self.path):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if self._closed or is_immutable(connection) or len(self._idle) >= _KEPT_READERS:
                shut(connection)
            else:
                self._idle.append(connection)

    def _drop_writer(self) -> None:
        if self._writer is not None:
            shut(self._writer)
            self._writer = None

    @contextmanager
    def _alone(self) -> Iterator[apsw.Connection]:
        """Yield the writing connection with exclusive access."""
        self._check_open()
        if self._place.readonly:
            raise StoreError(f"The index '{self.path}' was opened for reading only.")
        if not self._writing.acquire(timeout=self._place.busy_timeout):
            raise StoreBusyError(f"The index '{self.path}' is busy: another thread keeps writing to it.")
        try:
            with explained(self.path):
                self._check_open()
                if self._writer is None:
                    self._writer = self._place.writer()
                yield self._writer
        except StoreBusyError:
            raise
        except StoreError:
            self._drop_writer()  # the next write starts from the state on disk
            raise
        finally:
            self._writing.release()

    @contextmanager
    def _write(self) -> Iterator[tuple[apsw.Connection, State]]:
        """Yield the connection and the current state in a write transaction."""
        with self._alone() as connection, transaction(connection):
            yield connection, State.read(connection)
