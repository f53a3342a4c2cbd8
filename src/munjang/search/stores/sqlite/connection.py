"""Connections to the SQLite file of an index, transactions, and translation of SQLite's errors."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from munjang.errors import InputError, MunjangError, StoreBusyError, StoreError
from munjang.search.settings import DAMAGE
from munjang.search.stores.base import damaged

if TYPE_CHECKING:
    import apsw

APPLICATION = 0x4D756E6A  # "Munj", in the file's header
_MAGIC = b"SQLite format 3\x00"
_CACHE_KIB = 32_768
_CHECKPOINT_PAGES = 2000
_LARGEST_LOG = 64 << 20  # size limit in bytes of the WAL file after a checkpoint
_REMEDIES = {
    "FullError": "the disk is full; free some space and try again",
    "ReadOnlyError": "it is read-only; give the file and its folder write permission",
    "NotADBError": "it is not an index, or its header is damaged",
    "CorruptError": "the file is damaged; `munjang index check` reports what can be saved",
    "IOError": "the disk can't be read or written",
    "CantOpenError": "it can't be opened; check that the folder exists and is writable",
    "PermissionsError": "permission is denied",
    "TooBigError": "a document is too large",
    "NoMemError": "there is not enough memory",
    "FormatError": "it is not an index",
}


@dataclass(frozen=True, slots=True)
class IndexFile:
    """The file of an index, and how to open it; ``busy_timeout`` is in seconds."""

    path: Path
    readonly: bool = False
    busy_timeout: float = 30.0
    vfs: str | None = None

    def writer(self, *, create: bool = False) -> apsw.Connection:
        """Open a connection for writing."""
        import apsw

        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
        connection = self._open(str(self.path), flags)
        # Larger pages hold more vectors: a page of 8 KiB has five vectors of 384 dimensions and little waste.
        connection.execute("PRAGMA page_size = 8192; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_LOG}")
        return connection

    def reader(self) -> apsw.Connection:
        """Open a read-only connection, in a mode that the folder's permissions allow."""
        import apsw

        # A reader with write permission shares the WAL with the other connections, and can recover it.
        for flags in (apsw.SQLITE_OPEN_READWRITE, apsw.SQLITE_OPEN_READONLY):
            if self.readonly and flags == apsw.SQLITE_OPEN_READWRITE:
                continue
            try:
                return self._readable(self._open(str(self.path), flags))
            except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError):
                continue
        return self._immutable()

    def _immutable(self) -> apsw.Connection:
        """Open a file without write access as immutable; SQLite then ignores the WAL files beside it."""
        import apsw

        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise StoreError(
                f"The index '{self.path}' can't be read: '{log.name}' has changes that are not in the index "
                "yet. Open it once with write permission."
            )
        uri = f"file:{quote(str(self.path.absolute()))}?immutable=1"
        return self._readable(self._open(uri, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI))

    def _open(self, name: str, flags: int) -> apsw.Connection:
        import apsw

        connection = apsw.Connection(name, flags=flags, vfs=self.vfs, statementcachesize=200)
        connection.set_busy_timeout(int(self.busy_timeout * 1000))
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return connection

    def _readable(self, connection: apsw.Connection) -> apsw.Connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema; PRAGMA query_only = ON").fetchall()
        except BaseException:
            close_quietly(connection)
            raise
        return connection


def is_immutable(connection: apsw.Connection) -> bool:
    """Return whether a connection opened the file as immutable."""
    import apsw

    return bool(connection.open_flags & apsw.SQLITE_OPEN_URI)


def close_quietly(connection: apsw.Connection) -> None:
    """Close a connection; ignore errors, since the next connection does any missing cleanup."""
    import apsw

    with suppress(apsw.Error):
        connection.close()


def check_header(path: Path) -> None:
    """Raise `StoreError` for a file that is not an index, before SQLite opens it."""
    if not path.is_file():  # opening a FIFO would block forever, a device has no end
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise StoreError(f"'{path}' is {kind}; an index is a file.")
    if path.with_name(f"{path.name}-journal").exists():
        return  # SQLite must first roll back the transaction of a killed process
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return
    if len(header) < 100 or not header.startswith(_MAGIC):
        raise StoreError(f"'{path}' is not an index: it is not an SQLite database. It was not changed.")
    version, application = struct.unpack(">I4xI", header[60:72])
    if application != APPLICATION and (application or version or path.stat().st_size > 4096):
        raise StoreError(f"'{path}' is a database of another program. It was not changed.")


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Convert SQLite's errors and errors from damaged values to a one-line `StoreError` about the index."""
    import apsw

    try:
        yield
    except MunjangError:
        raise
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreBusyError(
            f"The index '{path}' is busy: another process kept writing to it. Try again later."
        ) from error
    except (apsw.Error, OSError, MemoryError) as error:
        raise StoreError(f"The index '{path!s:.300}' can't be used: {_reason(error)}.") from error
    except UnicodeEncodeError as error:
        text = error.object[max(error.start - 10, 0) : error.end]
        raise InputError(f"{text!r} is not Unicode text: it has a lone surrogate.") from error
    except DAMAGE as error:
        raise damaged(f"'{path}'", error) from error


def _reason(error: BaseException) -> str:
    remedy = _REMEDIES.get(type(error).__name__)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{remedy} (SQLite: {error})" if remedy else f"SQLite reports '{error}'"


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Run the block in one transaction: committed durably at its end, or rolled back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back already, such as for a full disk.
        if connection.in_transaction:
            _roll_back(connection)
        raise


def _roll_back(connection: apsw.Connection) -> None:
    """Roll back; if that fails, SQLite rolls back when the connection is closed."""
    import apsw

    with suppress(apsw.Error):
        connection.execute("ROLLBACK")
