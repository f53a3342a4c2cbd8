"""Atomic writes of files, and reads with limits."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from munjang.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Bytes. The largest published configs and weight indexes take about 1 MB, the largest tokenizer.json 35 MB.
JSON_LIMIT = 16 << 20
VOCABULARY_LIMIT = 256 << 20


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing that replaces ``path`` atomically if the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Call fsync on a file, or on a folder after a rename, to survive a power loss, where the system can."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: object, *, indent: int | None = 2) -> None:
    """Write ``value`` as JSON, atomically."""
    with replacing(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=indent).encode() + b"\n")


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; never block on a FIFO or device.

    Raises ``CheckpointError`` when the file is missing, unreadable or not a regular file.
    """
    try:
        _check_regular(path, path.stat().st_mode)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"'{path.parent}' has no file '{path.name}'.") from error
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise CheckpointError(
            f"Can't read {str(path)!r}: {getattr(error, 'strerror', None) or error}."
        ) from error
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)  # race: it may have been replaced
    except CheckpointError:
        file.close()
        raise
    return file


def read_limited(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises ``CheckpointError`` if the file is missing, unreadable, not a regular file, or larger than
    ``limit``; this check reads no more than ``limit`` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            content = file.read(limit + 1) if size <= limit else b""
        except OSError as error:
            raise CheckpointError(f"Can't read '{path}': {error.strerror or error}.") from error
    if size > limit or len(content) > limit:
        raise CheckpointError(
            f"'{path}' has {max(size, len(content)):,} bytes, and a file of this kind may have at most"
            f" {limit:,}. Check where it comes from."
        )
    return content


def read_json(path: Path, *, limit: int = JSON_LIMIT) -> object:
    """Read a JSON file; the message of ``CheckpointError`` has the file's name and the error."""
    try:
        content: object = json.loads(read_limited(path, limit))
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"'{path}' is not valid JSON: {error}.") from error
    return content


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise CheckpointError(f"'{path}' is {kind}, not a regular file; put the model's own file there.")
