"""Plain texts for training, read from files larger than memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from munjang.data.files import (
    STDIN,
    DataFile,
    check_encoding,
    check_path,
    numbered_lines,
    opened,
    path_text,
    shown_name,
)
from munjang.data.tables import FilePath
from munjang.errors import DataFileError, InputError, InputTypeError

Files: TypeAlias = FilePath | Sequence[FilePath]


def read_texts(
    paths: FilePath | Iterable[FilePath],
    *,
    column: str | None = None,
    encoding: str = "utf-8",
    quoting: bool | None = None,
    header: bool = True,
) -> Iterator[str]:
    """Yield the texts of one file or several files in order; blank lines are left out.

    A file has one text per line, or is CSV, TSV, JSON Lines or parquet with a ``column`` of texts; all but
    parquet may be packed as ``.gz``. The options are those of `munjang.data.DataFile`.

    Raises `DataFileError`, with the line, for a file that is missing, broken or without a text, and
    `InputError` if there is no file.
    """
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not files:
        raise InputError("There are no files to read texts from; name at least one.")
    for path in files:
        file = DataFile(
            path=path_text(path),
            column=column,
            encoding=encoding,
            quoting=quoting,
            header=header,
            ids=False,
        )
        empty = True
        for row in file:
            if row.text.strip():
                empty = False
                yield row.text
        if empty:
            raise DataFileError(f"{file.name} has no texts, only blank lines.")


def file_list(files: Files) -> list[str]:
    """Return the paths of one text file or several.

    Raises `InputError` for an empty list and for standard input, which can't be read again, `InputTypeError`
    for anything but paths, and `DataFileError` for a missing file.
    """
    paths = [files] if isinstance(files, (str, os.PathLike)) else files
    if not isinstance(paths, Sequence):
        raise InputTypeError(f"files is a path or a list of paths, not a {type(files).__name__}.")
    if not paths:
        raise InputError("There are no text files: the list is empty.")
    return [_checked(path) for path in paths]


def _checked(path: object) -> str:
    name = path_text(path)
    if name == STDIN:
        raise InputError("Standard input can't be read twice; put the texts into a file.")
    check_path(name)
    return name


def lines_of(path: str, encoding: str = "utf-8") -> Iterator[str]:
    """Yield each line of a text file (``.gz`` is unpacked) without the white space around it.

    Raises `DataFileError` if the file can't be read, is not of this encoding (with the line's number), or
    has no line with text; `InputError` for an unknown encoding.
    """
    check_encoding(encoding)
    empty = True
    with opened(path) as file:
        for _, line in numbered_lines(file, shown_name(path), encoding):
            text = line.strip()
            empty = empty and not text
            yield text
    if empty:
        raise DataFileError(f"'{path}' has no text; leave it out.")
