"""Plain texts for training, read from files larger than memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from munjang.data.files import DataFile
from munjang.data.tables import FilePath
from munjang.errors import DataFileError, InputError

__all__ = ["read_texts"]


def read_texts(
    paths: FilePath | Iterable[FilePath], *, column: str | None = None, encoding: str = "utf-8"
) -> Iterator[str]:
    """Yield the texts of one file or several, one after another; blank lines are left out.

    A file has one text per line, or is CSV, TSV, JSON Lines or parquet with a ``column`` of texts; each but
    parquet may be packed as ``.gz``. Raises `DataFileError`, with the line, for a file that is missing,
    broken or without a text, and `InputError` if there is no file.
    """
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not files:
        raise InputError("There are no files to read texts from; name at least one.")
    for path in files:
        yield from _texts(DataFile(path=os.fspath(path), column=column, encoding=encoding))


def _texts(file: DataFile) -> Iterator[str]:
    empty = True
    for row in file:
        if row.text.strip():
            empty = False
            yield row.text
    if empty:
        raise DataFileError(f"{file.name} has no texts, only blank lines.")
