"""Reading and writing files so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, BinaryIO

from munjang.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["flush", "read_json", "replacing", "write_json"]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing that takes the place of ``path`` only when the block ends well."""
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
    """Make a file, or a rename inside a folder, last through a power cut, where the system can do that."""
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


def read_json(path: Path) -> object:
    """Read a JSON file; ``CheckpointError`` names the file and what is wrong with it."""
    try:
        content: object = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"'{path.parent}' has no file '{path.name}'.") from error
    except OSError as error:
        raise CheckpointError(f"Can't read '{path}': {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"'{path}' is not valid JSON: {error}.") from error
    return content
