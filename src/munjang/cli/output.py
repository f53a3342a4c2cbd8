"""What commands print: JSON for programs, tables for people; UTF-8 always."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "clean",
    "console",
    "force_utf8",
    "joined",
    "new_table",
    "print_json",
    "rounded",
    "write_line",
]

_DIGITS = 6  # of a score in JSON; float32 has no more to say
_SHORT = 24  # characters of a value that shares its line with others
_LONG = 240  # characters beyond which a value is left out
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def force_utf8() -> None:
    """Write UTF-8 whatever the locale says; what can't be written becomes a backslash escape.

    A stream that was closed before the start (``>&-``) is replaced by one that discards what is written.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def print_json(value: Any) -> None:
    """Print a value as JSON on one line."""
    write_line(json.dumps(value, ensure_ascii=False))


def write_line(line: str) -> None:
    """Print a line just as it is."""
    sys.stdout.write(f"{line}\n")


def rounded(score: float) -> float:
    """Round a score for JSON."""
    return round(float(score), _DIGITS)


def console() -> Console:
    """Give the console on standard output: no markup, so that ``[MASK]`` in a text stays what it is."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to the program to end; rich would end it with status 1."""
            raise BrokenPipeError

    return Output(file=sys.stdout, markup=False, emoji=False, highlight=False)


def new_table(title: str | None = None, *, lines: bool = False) -> Table:
    """Give an empty table in the style of this program; with a line between rows if ``lines``."""
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold cyan",
        border_style="dim",
        box=box.ROUNDED,
        show_lines=lines,
    )


def clean(text: str) -> str:
    """Make a text safe to show: white space as spaces, other control characters as escapes."""
    return _CONTROL.sub(lambda found: " " if found[0].isspace() else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def detail_lines(
    values: Mapping[str, str], before: Sequence[str] = (), after: Sequence[str] = ()
) -> list[str]:
    """Write values for below a text: long ones each on a line, short ones side by side on the last.

    ``before`` and ``after`` are parts that share the last line. What is longer still is left out.
    """
    long = [f"{name}: {value}" for name, value in values.items() if _SHORT < len(value) <= _LONG]
    short = [f"{name}: {value}" for name, value in values.items() if len(value) <= _SHORT]
    parts = [*before, *short, *after]
    return [*long, *([joined(parts)] if parts else [])]


def joined(parts: Iterable[str]) -> str:
    """Join the parts of a footnote."""
    return " · ".join(part for part in parts if part)
