"""Opening an index's SQLite file, for reading or for writing, and saying in one line what goes wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from munjang.errors import InputError, MunjangError, StoreBusyError, StoreError
from munjang.search.stores.base import DAMAGE, damaged

if TYPE_CHECKING:
    import apsw

__all__ = [
    "APPLICATION",
    "Place",
    "check_header",
    "explained",
    "is_immutable",
    "shut",
    "transaction",
]

APPLICATION = 0x4D756E6A  # "Munj", in the file's header
_MAGIC = b"SQLite format 3\x00"
_CACHE_KIB = 32_768
_CHECKPOINT_PAGES = 2000
_LARGEST_LOG = 64 << 20  # bytes that are kept of the log of changes once they are in the database
_MENDED = {
    "FullError": "the disk is full; make room and do it again",
    "ReadOnlyError": "it is read-only; give the file and its folder write permission",
    "NotADBError": "it is not an index, or its beginning is destroyed",
    "CorruptError": "the file is damaged; `munjang index check` reports what can be saved",
    "IOError": "the disk can't be read or written",
    "CantOpenError": "it can't be opened; check that the folder exists and may be written to",
    "PermissionsError": "permission is denied",
    "TooBigError": "a document is too large",
    "NoMemError": "there is not enough memory",
    "FormatError": "it is not an index",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an index is, and how long to wait for another writer, in seconds."""

    path: Path
    readonly: bool = False
    busy_timeout: float = 30.0
    vfs: str | None = None

    def writer(self, *, create: bool = False) -> apsw.Connection:
        """Open a connection that may write."""
        import apsw

        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
        connection = self._open(str(self.path), flags)
        # Fewer pages hold more vectors, and a page of 8 KiB has five of 384 dimensions and little waste.
        connection.execute("PRAGMA page_size = 8192; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_LOG}")
        return connection

    def reader(self) -> apsw.Connection:
        """Open a connection that only reads, in whatever way the folder allows."""
        import apsw

        # A reader that may write shares the log of changes with the others, and can recover it.
        for flags in (apsw.SQLITE_OPEN_READWRITE, apsw.SQLITE_OPEN_READONLY):
            if self.readonly and flags == apsw.SQLITE_OPEN_READWRITE:
                continue
            try:
                return self._readable(self._open(str(self.path), flags))
            except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError):
                continue
        return self._immutable()

    def _immutable(self) -> apsw.Connection:
        """Read a file that nobody can write to; SQLite then looks at nothing beside it."""
        import apsw

        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise StoreError(
                f"The index '{self.path}' can't be read: '{log.name}' holds changes that only a program "
                "that may write there can take over. Open it once with write permission."
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
            shut(connection)
            raise
        return connection


def is_immutable(connection: apsw.Connection) -> bool:
    """Whether a reader had to take the file for one that never changes."""
    import apsw

    return bool(connection.open_flags & apsw.SQLITE_OPEN_URI)


def shut(connection: apsw.Connection) -> None:
    """Close a connection; what it could not tidy up, the next one does."""
    import apsw

    with suppress(apsw.Error):
        connection.close()


def check_header(path: Path) -> None:
    """Refuse a file that is not ours before SQLite touches it."""
    if not path.is_file():  # opening a fifo would wait for ever, a device never ends
        kind = "a folder" if path.is_dir() else "no regular file"
        raise StoreError(f"'{path}' is {kind}, not an index.")
    if path.with_name(f"{path.name}-journal").exists():
        return  # SQLite must first undo what a killed process left half done
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return
    if len(header) < 100 or not header.startswith(_MAGIC):
        raise StoreError(f"'{path}' is not an index: no SQLite database. It was left as it is.")
    version, application = struct.unpack(">I4xI", header[60:72])
    if application != APPLICATION and (application or version or path.stat().st_size > 4096):
        raise StoreError(f"'{path}' is a database of another program. It was left as it is.")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise `StoreError` in one line about the index for SQLite's errors and for damaged values."""
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
        shown = error.object[max(error.start - 10, 0) : error.end]
        raise InputError(f"{shown!r} is no Unicode text: it has half of a surrogate pair.") from error
    except DAMAGE as error:
        raise damaged(f"'{path}'", error) from error


def _reason(error: BaseException) -> str:
    mended = _MENDED.get(type(error).__name__)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{mended} (SQLite: {error})" if mended else f"SQLite says '{error}'"


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Do everything in the block at once, on the disk at its end, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have rolled back already.
        if connection.in_transaction:
            _roll_back(connection)
        raise


def _roll_back(connection: apsw.Connection) -> None:
    """Roll back; where even that fails, SQLite does it when the connection is closed."""
    import apsw

    with suppress(apsw.Error):
        connection.execute("ROLLBACK")
