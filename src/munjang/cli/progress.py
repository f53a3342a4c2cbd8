"""How far long work has come: a bar for a person at a terminal, a few lines for a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["has_bar", "tracked"]

_LINES = 20  # at most, for one piece of work


def has_bar(asked: bool | None) -> bool:
    """Say whether to draw bars: unless that is declined, if a person is watching standard error."""
    return asked is not False and sys.stderr.isatty()


@contextmanager
def tracked(asked: bool | None, total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Give a function to call with the number of items done; without a terminal it is silent unless asked."""
    if has_bar(asked):
        from munjang.sentence.progress import track

        with track(True, total, what) as advance:
            yield advance
    else:
        yield _line_writer(total, what) if asked else _silent


def _silent(_: int) -> None:
    """Say nothing."""


def _line_writer(total: int, what: str) -> Callable[[int], None]:
    done = said = 0

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        share = done * _LINES // total
        if share > said:
            said = share
            sys.stderr.write(f"{what}: {done:,} of {total:,} ({done * 100 // total}%)\n")
            sys.stderr.flush()

    return advance
