"""Locations of indexes, a file path or a database URL, and opening their stores."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from munjang.errors import InputError, InputTypeError, StoreError

if TYPE_CHECKING:
    from munjang.search.stores.base import Store

__all__ = ["file_path", "is_database", "is_new_file", "open_store", "redact_password"]

_SCHEMES = ("postgresql://", "postgres://")
_PASSWORD = re.compile(r"(^\w+://[^:@/]*:).*(?=@)|(?<=password=)[^&]*")


def is_database(location: str | os.PathLike[str]) -> bool:
    """Return whether a location is a database URL."""
    if not isinstance(location, str | os.PathLike):
        raise InputTypeError(f"The location of an index is a file or postgresql://..., got {location!r:.80}.")
    return isinstance(location, str) and location.startswith(_SCHEMES)


def is_new_file(location: str | os.PathLike[str]) -> bool:
    """Return whether a location is a file that does not exist yet."""
    return not is_database(location) and not _exists(file_path(location))


def file_path(location: str | os.PathLike[str]) -> Path:
    """Return the path of a location that is a file; raise `InputError` for an invalid path."""
    name = os.fsdecode(location)
    if "\0" in name:
        raise InputError(f"The path of the index, {name!r:.80}, has a NUL character.")
    return Path(name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # such as a name that is too long
        raise StoreError(f"The index '{path!s:.80}' can't be used: {error.strerror}.") from error


def redact_password(location: str | os.PathLike[str]) -> str:
    """Return a location with the password of a URL masked."""
    return _PASSWORD.sub(r"\1***", str(location)) if is_database(location) else str(location)


def open_store(
    location: str | os.PathLike[str], *, create: bool, readonly: bool, busy_timeout: float
) -> Store:
    """Open the store; its module and the packages that it needs are imported only here."""
    if is_database(location):
        from munjang.search.stores.postgres.store import open_postgres

        return open_postgres(str(location), create=create, readonly=readonly, busy_timeout=busy_timeout)
    from munjang.search.stores.sqlite.store import open_sqlite

    return open_sqlite(file_path(location), create=create, readonly=readonly, busy_timeout=busy_timeout)
