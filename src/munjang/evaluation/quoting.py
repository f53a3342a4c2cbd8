"""Whether quotes in a file of tab-separated values are quotes or letters."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from munjang.search.lines import numbered_lines, opened

__all__ = ["quotes_are_quotes"]

_LONGEST_FIELD = 2**31 - 1


class _Lines:
    """Lines on their way to a reader, counted as if quotes were letters."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = lines
        self.rows = 0
        self.widths: set[int] = set()

    def __iter__(self) -> Iterator[str]:
        for _, line in self._lines:
            if line != "\n":
                self.rows += 1
                self.widths.add(line.count("\t") + 1)
            yield line


def quotes_are_quotes(path: str, name: str, encoding: str = "utf-8") -> bool:
    """Decide by its content whether a file of tab-separated values quotes its fields as RFC 4180 has it.

    KorSTS and KorNLI, for instance, have fields that begin with a quotation mark of the text. Quotes are
    letters if read as quotes they would be broken, or join lines that make whole rows by themselves.
    Raises `DataFileError` for a file that can't be read.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    with opened(path) as file:
        lines = _Lines(numbered_lines(file, name, encoding))
        try:
            rows = sum(1 for fields in csv.reader(iter(lines), delimiter="\t", strict=True) if fields)
        except csv.Error:
            return False
    return rows == lines.rows or len(lines.widths) > 1
