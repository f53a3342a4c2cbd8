"""What a person sees while a model is fetched: one line, and on a terminal a bar.

The bar watches the folder that a download grows in, so it is true whoever does the downloading.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["megabytes", "say", "watching"]

_SECONDS_BETWEEN_LOOKS = 0.2


def say(message: str, *, quiet: bool = False) -> None:
    """Write one line to standard error, unless quiet."""
    # A program without a console has no standard error.
    if not quiet and sys.stderr is not None:
        sys.stderr.write(message + "\n")
        sys.stderr.flush()


def megabytes(size: int) -> str:
    """Write a number of bytes as people read it."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


@contextlib.contextmanager
def watching(folder: Path, label: str, total: int | None, *, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal how many of ``total`` bytes ``folder`` has gained while the block runs."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    with _bar(folder, label, total):
        yield


@contextlib.contextmanager
def _bar(folder: Path, label: str, total: int | None) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    before = _folder_size(folder)
    done = threading.Event()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)

        def look() -> None:
            while not done.wait(_SECONDS_BETWEEN_LOOKS):
                gained = max(0, _folder_size(folder) - before)
                # A client may hold a second copy for a moment, which is no news to the reader.
                progress.update(task, completed=gained if total is None else min(gained, total))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _folder_size(folder: Path) -> int:
    """Add up the bytes of the files under ``folder``; those that vanish meanwhile count nothing."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                size += path.stat().st_size
    return size
