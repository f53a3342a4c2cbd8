"""Output of commands: JSON for programs, tables for people; always UTF-8."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_COMPONENTS = 4  # of a vector in a table
_SHORT = 24  # characters of a value that shares its line with others
_LONG = 240  # characters beyond which a value is left out
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def force_utf8() -> None:
    """Set the output streams to UTF-8 for any locale; unencodable characters become backslash escapes.

    A stream that was closed before the start (``>&-``) is replaced by a stream that discards its output.
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


def print_result(as_json: bool, value: Any, *lines: str) -> None:
    """Print the result of a command: a value as JSON, or lines for people."""
    if as_json:
        print_json(value)
    else:
        for line in lines:
            write_line(line)


def write_line(line: str) -> None:
    """Print a line unchanged."""
    sys.stdout.write(f"{line}\n")


def console() -> Console:
    """Return the console on standard output, without markup, so that ``[MASK]`` in a text is unchanged."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            """Raise the error again, so that the program handles it; rich would exit with status 1."""
            raise BrokenPipeError

    return Output(file=sys.stdout, markup=False, emoji=False, highlight=False)


def new_table(title: str | None = None, *columns: str, lines: bool = False) -> Table:
    """Return a table in the style of this program; with a line between rows if ``lines``.

    A column whose name begins with ``>`` is right-aligned. Long values continue on the next line.
    """
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold cyan",
        border_style="dim",
        box=box.ROUNDED,
        show_lines=lines,
    )
    for name in columns:
        align: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=align, overflow="fold")
    return table


def print_table(table: Table, footnote: str = "") -> None:
    """Print a table, and a footnote below it."""
    out = console()
    out.print(table)
    if footnote:
        out.print(footnote, style="dim")


def vector_cell(vector: Iterable[float]) -> str:
    """Return the first components of a vector for a table; of NumPy or of a list."""
    first = islice(vector, _COMPONENTS)
    cells = (f"{value:4d}" if isinstance(value, int) else f"{value:7.4f}" for value in first)
    return "  ".join((*cells, "..."))


def text_cell(text: str, details: Iterable[str], marks: Iterable[tuple[int, int]] = ()) -> Text:
    """Return the cell of a text with its marked parts in bold, and details in lines below it."""
    from rich.text import Text

    cell, position = Text(), 0
    for start, end in marks:
        cell.append(clean(text[position:start]))
        cell.append(clean(text[start:end]), style="bold cyan")
        position = end
    cell.append(clean(text[position:]))
    for line in details:
        cell.append(f"\n{line}", style="dim")
    return cell


def clean(text: str) -> str:
    """Return a text that is safe to print: white space as spaces, other control characters as escapes."""

    def escaped(match: re.Match[str]) -> str:
        return " " if match[0].isspace() else match[0].encode("unicode_escape").decode("ascii")

    return _CONTROL.sub(escaped, text)


def detail_lines(
    values: Mapping[str, str], before: Sequence[str] = (), after: Sequence[str] = ()
) -> list[str]:
    """Return the lines below a text: one line per long value, the last line for all short values.

    ``before`` and ``after`` are parts of the last line. Values that are too long are omitted.
    """
    long = [f"{name}: {value}" for name, value in values.items() if _SHORT < len(value) <= _LONG]
    short = [f"{name}: {value}" for name, value in values.items() if len(value) <= _SHORT]
    parts = [*before, *short, *after]
    return [*long, *([joined(parts)] if parts else [])]


def joined(parts: Iterable[str]) -> str:
    """Join the parts of a footnote."""
    return " · ".join(part for part in parts if part)
