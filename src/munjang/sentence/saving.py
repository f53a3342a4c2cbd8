"""Saving a folder of files so that a save that fails leaves what was there before."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from munjang.errors import CheckpointError

__all__ = ["staged"]


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write to; its files move to ``folder`` when the block ends well.

    Until then nothing in ``folder`` changes. The moves take no time and no room, and a file that is
    memory-mapped stays whole for whoever reads it, so a model can be saved over the files it was read from.
    Raises `CheckpointError` if there is no room or no permission, or if no folder can have this name.
    """
    if "\0" in str(folder):
        raise CheckpointError(f"Can't save to {str(folder)!r}: it has a NUL character. Choose another one.")
    is_new = not os.path.lexists(folder)  # Path.exists raises for some names
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Inside the folder, so that both are on one file system.
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as temporary:
            yield Path(temporary)
            _move(Path(temporary), folder)
    except BaseException as error:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise CheckpointError(
                f"Can't save to '{folder}': {reason}. Choose another folder or make room."
            ) from error
        raise


def _move(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*"), key=_model_list_last):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)


def _model_list_last(path: Path) -> tuple[bool, Path]:
    """Put ``modules.json`` last: it says that the rest is there."""
    return path.name == "modules.json", path
