"""Progress of long work on standard error: a bar for a person at a terminal, a few lines for a log."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress

Advance: TypeAlias = Callable[[int], None]  # called with the number of items done since the last call

_LINES = 20  # maximum number of lines per task
_SECONDS_BETWEEN_LOOKS = 0.2


def no_advance(_: int) -> None:
    """Ignore the number of items done."""


@contextmanager
def bars(*columns: Any) -> Iterator[Progress]:
    """Yield rich's bars with these columns on standard error; they disappear at the end."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress


@contextmanager
def track(shown: bool, total: int | None, what: str) -> Iterator[Advance]:
    """Yield a function that advances a bar; nothing is drawn unless ``shown``.

    A ``total`` of ``None`` means that the number of items is unknown.
    """
    if not shown:
        yield no_advance
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bars(*columns) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def has_bar(asked: bool | None) -> bool:
    """Return whether to draw bars: if standard error is a terminal and ``asked`` is not False."""
    return asked is not False and sys.stderr.isatty()


@contextmanager
def tracked(asked: bool | None, total: int, what: str) -> Iterator[Advance]:
    """Yield a function that advances a bar, or writes lines if ``asked`` and there is no terminal."""
    if has_bar(asked):
        with track(True, total, what) as advance:
            yield advance
    else:
        yield _line_writer(total, what) if asked else no_advance


def _line_writer(total: int, what: str) -> Advance:
    done = reported = 0

    def advance(count: int) -> None:
        nonlocal done, reported
        done += count
        share = done * _LINES // total
        if share > reported:
            reported = share
            say(f"{what}: {done:,} of {total:,} ({done * 100 // total}%)")

    return advance


def say(message: str, *, quiet: bool = False) -> None:
    """Write one line to standard error, unless quiet."""
    # A program without a console has no standard error.
    if not quiet and sys.stderr is not None:
        sys.stderr.write(message + "\n")
        sys.stderr.flush()


def megabytes(size: int) -> str:
    """Return a number of bytes as readable text."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


@contextmanager
def watching(folder: Path, label: str, total: int | None, *, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal how many of ``total`` bytes were added to ``folder`` while the block runs.

    The bar polls the size of the download folder, so it works for any downloader.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

    before = _folder_size(folder)
    done = threading.Event()
    description = TextColumn("{task.description}")
    columns = (SpinnerColumn(), description, BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with bars(*columns) as progress:
        task = progress.add_task(label, total=total)

        def look() -> None:
            while not done.wait(_SECONDS_BETWEEN_LOOKS):
                gained = max(0, _folder_size(folder) - before)
                # A client may temporarily have a second copy.
                progress.update(task, completed=gained if total is None else min(gained, total))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _folder_size(folder: Path) -> int:
    """Return the total size of the files under ``folder`` in bytes; files deleted meanwhile count 0."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                size += path.stat().st_size
    return size
