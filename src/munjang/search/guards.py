"""What surrounds the writing of a file: one process at a time, input that can be read again, clear errors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from munjang.errors import DataFileError, InputError, MunjangError
from munjang.search.lines import opened
from munjang.search.reading import DataFile
from munjang.search.staging import beside

__all__ = ["alone", "explained", "spooled"]


@contextmanager
def spooled(source: DataFile, output: Path) -> Iterator[DataFile]:
    """Copy what can be read only once to the disk, beside the output."""
    copy = beside(output, source.kind or ".txt")
    try:
        with opened(source.path) as file, copy.open("wb") as target:
            shutil.copyfileobj(file, target)
        yield replace(source, path=str(copy), called=source.name)
    finally:
        copy.unlink(missing_ok=True)


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """Keep two processes from making the same file at once."""
    from filelock import FileLock, Timeout

    path = beside(output, ".lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"Another process is writing '{output}'.") from None
    try:
        yield
    finally:
        with suppress(OSError):  # some systems keep a file that is open; then it stays
            path.unlink()
        lock.release()


@contextmanager
def explained(output: Path) -> Iterator[None]:
    """Turn the system's errors into one line about the output."""
    try:
        yield
    except MunjangError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataFileError(
            f"Can't write '{output}': {reason}. Once that is mended, the same command goes on."
        ) from error
