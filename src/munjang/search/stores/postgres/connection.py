"""Connections to PostgreSQL, transactions, and translation of PostgreSQL's errors."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

from munjang.errors import InputError, MissingExtraError, MunjangError, StoreBusyError, StoreError
from munjang.search.settings import DAMAGE
from munjang.search.stores.base import damaged

if TYPE_CHECKING:
    import psycopg

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

DEFAULT_SCHEMA = "munjang"
_NAME_BYTES = 63
_CONNECT_SECONDS = 10
_IDLE = 8  # maximum number of idle connections in the pool


def import_psycopg() -> Any:
    """Return the module psycopg; raise `MissingExtraError` if it is not installed."""
    try:
        return importlib.import_module("psycopg")
    except ImportError as error:
        raise MissingExtraError.of(
            f"An index in PostgreSQL needs psycopg, which can't be loaded ({error})", "postgres"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The address of an index: connection info, schema, and a name for messages without the password."""

    conninfo: str
    schema: str
    location: str
    password: str


def parse_address(url: str, schema: str | None = None) -> Address:
    """Parse ``postgresql://user:password@host/database?schema=name``; raise `InputError` if it is invalid."""
    psycopg = import_psycopg()
    head, _, query = url.partition("?")
    other = [part for part in query.split("&") if part and not part.startswith("schema=")]
    schemas = [part.removeprefix("schema=") for part in query.split("&") if part.startswith("schema=")]
    conninfo = f"{head}?{'&'.join(other)}" if other else head
    try:
        parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    except psycopg.Error:
        # psycopg's message may contain a part of the address with the password.
        raise InputError(
            "The address of PostgreSQL is invalid; it has the form "
            "postgresql://user:password@host:port/database?schema=name, special characters as %XX."
        ) from None
    name = _checked_schema(schema or (unquote(schemas[-1]) if schemas else DEFAULT_SCHEMA))
    server = ":".join(str(parts[key]) for key in ("host", "port") if parts.get(key)) or "the local server"
    location = (
        f"{server}, database '{parts.get('dbname') or parts.get('user') or 'default'}', schema '{name}'"
    )
    return Address(
        conninfo=conninfo, schema=name, location=location, password=str(parts.get("password") or "")
    )


def _checked_schema(name: str) -> str:
    if not name or len(name.encode()) > _NAME_BYTES or name.startswith("pg_") or "\x00" in name:
        raise InputError(
            f"'{name}' is not a valid name of a schema: it must have 1 to {_NAME_BYTES} bytes "
            "and must not begin with 'pg_'."
        )
    return name


class Session:
    """A pool of connections, one per transaction; a few idle connections are kept.

    Settings end with their transaction, so it works behind a pooler such as PgBouncer.
    """

    def __init__(self, address: Address, *, busy_timeout: float) -> None:
        self.address = address
        self.location = address.location
        self._psycopg = import_psycopg()
        self._timeout = max(1, int(busy_timeout * 1000))
        self._seconds = busy_timeout
        self._idle: list[Connection] = []
        self._closed = False
        self._path = ""

    def set_search_path(self, *schemas: str) -> None:
        """Set the search path: the schemas of tables, types and operators."""
        self._path = f"SET LOCAL search_path TO {', '.join(map(quoted_name, schemas))};"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection in a read-only transaction with one snapshot (REPEATABLE READ)."""
        with self.translate_errors(values=False):  # the block is code of the caller
            connection = self._begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
            try:
                yield connection
            finally:
                self._undo(connection)

    @contextmanager
    def writing(self, *, lock: str | None = None) -> Iterator[Connection]:
        """Yield a connection in a transaction that holds the schema's writer lock.

        Raises `StoreBusyError` when another writer takes too long.
        """
        with self.translate_errors():
            connection = self._begin(
                f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {self._timeout};"
            )
            try:
                connection.execute(
                    "SELECT pg_advisory_xact_lock(hashtext('munjang'), hashtext(%s))",
                    [self.address.schema if lock is None else lock],
                )
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._undo(connection)
                raise
            self._release(connection)

    @contextmanager
    def exclusive(self) -> Iterator[Connection]:
        """Yield a connection without a transaction, with the writer lock, for commands such as VACUUM."""
        key = [self.address.schema]
        with self.translate_errors():
            connection = self._connect()
            try:
                connection.execute(f"SET lock_timeout = {self._timeout}".encode())
                connection.execute("SELECT pg_advisory_lock(hashtext('munjang'), hashtext(%s))", key)
                connection.execute(self._path.replace("SET LOCAL", "SET").encode())
                yield connection
            finally:
                connection.close()

    def close(self) -> None:
        """Close idle connections; a connection in use is closed when it is returned to the pool."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def translate_errors(self, *, values: bool = True) -> Iterator[None]:
        """Raise `StoreError` or `StoreBusyError` for psycopg errors and, with ``values``, damaged values."""
        errors = self._psycopg.errors
        try:
            yield
        except (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure) as error:
            raise StoreBusyError(
                f"Another process kept writing to the index ({self.location}) for more than "
                f"{self._seconds:g} seconds; try again."
            ) from error
        except self._psycopg.Error as error:
            raise StoreError(f"The index ({self.location}) failed: {self._message(error)}") from error
        except MunjangError:
            raise
        except DAMAGE as error:
            if not values:
                raise
            raise damaged(f"({self.location})", error) from error

    def _begin(self, begin: str) -> Connection:
        """Return a connection with a started transaction; idle connections that were lost are replaced."""
        script = f"{begin} {self._path}".encode()
        while self._idle and not self._closed:
            connection = self._idle.pop()
            try:
                connection.execute(script)
            except self._psycopg.OperationalError:
                connection.close()
            else:
                return connection
        connection = self._connect()
        connection.execute(script)
        return connection

    def _connect(self) -> Connection:
        if self._closed:
            raise StoreError(f"The index ({self.location}) was closed.")
        options: dict[str, Any] = {"autocommit": True, "prepare_threshold": None, "client_encoding": "utf8"}
        if "connect_timeout" not in self.address.conninfo:
            options["connect_timeout"] = _CONNECT_SECONDS
        try:
            connection: Connection = self._psycopg.connect(
                self.address.conninfo, fallback_application_name="munjang", **options
            )
        except self._psycopg.Error as error:
            raise StoreError(
                f"PostgreSQL ({self.location}) can't be reached: {self._message(error)} "
                "Check the address, the user and the password, and that the database exists."
            ) from None
        return connection

    def _release(self, connection: Connection) -> None:
        if self._closed or len(self._idle) >= _IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    def _undo(self, connection: Connection) -> None:
        """Roll back; close the connection if that fails."""
        with suppress(self._psycopg.Error):
            connection.execute("ROLLBACK")
            self._release(connection)
            return
        connection.close()

    def _message(self, error: Exception) -> str:
        """Return the first line of an error as a sentence, without the password."""
        lines = str(error).strip().splitlines()
        text = lines[0].strip() if lines else type(error).__name__
        if self.address.password:
            text = text.replace(self.address.password, "***")
        return text if text.endswith(".") else f"{text}."


def quoted_name(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'
