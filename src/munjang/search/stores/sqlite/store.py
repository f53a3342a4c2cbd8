"""`SqliteStore`: an index in one SQLite file, which is the only truth; all else is derived from it."""

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
    """Open the index in a file, or make one there.

    Args:
        path: the file; ``-wal``, ``-shm`` and ``-vectors`` are added to its name for what stands beside it.
        create: make the file if there is none; its folder must be there.
        readonly: refuse to change the index; only what is derived from it may still be written beside it.
        busy_timeout: how many seconds a write waits for another writer.
        vfs: the name of a file system that was registered with SQLite, instead of the usual one.

    Raises `StoreError` if there is no index, or something else than an index, or one of a newer version.
    """
    place = Place(path, readonly, busy_timeout, vfs)
    with explained(path):
        _prepare(place, create=create and not readonly)
    return SqliteStore(place)


def _prepare(place: Place, *, create: bool) -> None:
    """Find an index of the newest version, or make it so."""
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
    """Keeps one index in one file; `munjang.search.stores.base.Store` says what the methods do.

    May be used by many threads: each snapshot has a connection of its own, and writes go one by one.
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
        """What the index was made with; ``None`` before `create`."""
        with self.snapshot() as reader:
            return reader.settings

    def create(self, settings: IndexSettings) -> None:
        """Begin an index; the same settings again change nothing, others raise `IndexMismatchError`."""
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
        """Read at one moment."""
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
        """Write all the changes or none, durably; return the number of documents deleted."""
        with explained(self.path):
            entries = ready(changes.put)
        with self._write() as (connection, state):
            if state.settings is None:
                raise InputError(f"The index '{self.path}' has no settings yet: call create first.")
            check_vectors(entries, state.settings.dimension)
            return write(connection, state, changes, entries)

    def unstaged(self, target: IndexSettings, limit: int) -> list[Document]:
        """Return documents that a move to other settings has yet to prepare; a first call begins the move."""
        with self._write() as (connection, state):
            begin(connection, state, target)
        with self.snapshot() as reader:
            return reader.waiting(limit)

    def stage(self, target: IndexSettings, entries: Sequence[Entry]) -> None:
        """Keep prepared entries of the move aside, unseen by searches, until `switch`."""
        with explained(self.path):
            prepared = ready(entries)
        with self._write() as (connection, state):
            stage(connection, state, target, prepared)

    def switch(self, target: IndexSettings) -> bool:
        """Put what was staged in place, all at once; false, and nothing done, if documents are unstaged."""
        with self._write() as (connection, state):
            return switch(connection, state, target)

    def abandon(self) -> None:
        """Drop a move that was begun."""
        with self._write() as (connection, _):
            abandon(connection)

    def rebuild(self) -> None:
        """Make everything that is derived anew, and give back the space of what was deleted."""
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
        """Return a line for each thing that is wrong; none when all is well."""
        self._check_open()
        with explained(self.path):
            # In a connection that has searched, FTS5 checks what it remembers of an older moment, and finds
            # damage where there is none.
            connection = self._new_reader()
        found: list[str] = []
        with self._reading(connection) as reader:
            try:
                with explained(self.path):
                    found.extend(problems(reader, self._vectors))
            except StoreBusyError:
                raise
            except StoreError as error:  # even looking for damage failed
                found.append(str(error))
        return found

    def info(self) -> StoreInfo:
        """Describe the store."""
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
        """Let go of the file; closing twice is no error."""
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
        """Keep a connection for the next snapshot.

        One that must take the file for immutable would not see what changes in it, so it is not kept.
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
        """Have the connection that writes to oneself."""
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
            self._drop_writer()  # the next write begins with what is on the disk
            raise
        finally:
            self._writing.release()

    @contextmanager
    def _write(self) -> Iterator[tuple[apsw.Connection, State]]:
        """Write in one transaction, from the state that it finds."""
        with self._alone() as connection, transaction(connection):
            yield connection, State.read(connection)
