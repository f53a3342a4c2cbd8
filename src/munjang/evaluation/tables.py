"""Files of labelled rows: CSV, TSV, JSON Lines and parquet, and which of their columns is what."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from munjang.errors import DataFileError
from munjang.evaluation.entries import Entry
from munjang.evaluation.quoting import quotes_are_quotes
from munjang.search.lines import check_encoding, check_path
from munjang.search.reading import DataFile

__all__ = ["FilePath", "Table"]

FilePath: TypeAlias = str | os.PathLike[str]
_TABS = ".tsv"
_LONGEST_SHOWN = 40


class Table:
    """The rows of a file with columns.

    ``quoting`` None decides by the file whether quotes in a .tsv are letters, see
    `munjang.evaluation.quoting`; in a .csv they are quotes. Iterating gives its entries, once.

    Raises `DataFileError` for a file that is missing, empty, broken or without columns, `InputError` for an
    unknown encoding, and `MissingExtraError` for parquet without its package.
    """

    def __init__(
        self, path: FilePath, *, encoding: str = "utf-8", quoting: bool | None = None, header: bool = True
    ) -> None:
        file = DataFile(path=os.fspath(path), encoding=encoding, header=header)
        self.name = file.name
        check_path(file.path)
        if not file.has_columns:
            raise DataFileError(
                f"{self.name} has no columns; labelled texts come as .csv, .tsv, .jsonl or .parquet."
            )
        if quoting is None:
            quoting = _decided(file)
        file = DataFile(path=file.path, encoding=encoding, header=header, quoting=quoting)
        self._rows = (Entry(self.name, *record) for record in file.records())
        self.first = next(self._rows)
        self.columns = list(self.first.values)

    def __iter__(self) -> Iterator[Entry]:
        """Give the entries in the order of the file."""
        yield self.first
        yield from self._rows

    def find(self, named: str | None, usual: Sequence[str]) -> str | None:
        """Give the column that is named, which must be there, or the first of the usual names that is."""
        if named is not None and named not in self.columns:
            raise DataFileError(f"{self.name} has no column {named!r}; it has {self._shown_columns()}.")
        return named or next(iter(self.first.columns(usual)), None)

    def choose(self, named: str | None, usual: Sequence[str], what: str) -> str:
        """Give a column as `find` does; it is an error if there is none."""
        found = self.find(named, usual)
        if found is None:
            raise DataFileError(
                f"{self.name} has the columns {self._shown_columns()}; say which holds the {what}."
            )
        return found

    def _shown_columns(self) -> str:
        """Name the columns in one line, also where the first row is no header but a text."""
        shown = (name if name.isprintable() else repr(name) for name in self.columns)
        return ", ".join(
            name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..." for name in shown
        )

    def choose_two(self, one: str | None, other: str | None, usual: Sequence[tuple[str, str]]) -> list[str]:
        """Give the two columns of a pair: those that are named, or the first pair of usual names."""
        found = next((pair for pair in usual if len(self.first.columns(pair)) == 2), ("", ""))
        return [
            self.choose(one, found[:1], "first texts of the pairs"),
            self.choose(other, found[1:], "second texts of the pairs"),
        ]


def _decided(file: DataFile) -> bool:
    check_encoding(file.encoding)
    if file.kind != _TABS or not file.rereadable:
        return True
    return quotes_are_quotes(file.path, file.name, file.encoding)
