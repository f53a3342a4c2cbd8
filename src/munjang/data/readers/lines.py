"""Reading plain text files sequentially, line by line, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from munjang.data.files import STDIN, check_encoding, check_path, numbered_lines, opened, shown_name
from munjang.errors import DataFileError, InputError, InputTypeError

__all__ = ["Files", "file_list", "lines_of"]

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def file_list(files: Files) -> list[str]:
    """Return the paths of one file or several.

    Raises `InputError` for none at all and for standard input, which can't be read again, `InputTypeError`
    for something that is no path, and `DataFileError` for a file that is not there.
    """
    several = [files] if isinstance(files, (str, os.PathLike)) else files
    if not isinstance(several, Sequence):
        raise InputTypeError(f"files is a path or a list of paths, not a {type(files).__name__}.")
    if not several:
        raise InputError("There are no text files: the list is empty.")
    return [_checked(path) for path in several]


def _checked(path: object) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise InputTypeError(f"A file is named by a path, not by {path!r} of type {type(path).__name__}.")
    name = os.fspath(path)
    if name == STDIN:
        raise InputError("Standard input can't be read twice; put the texts into a file.")
    check_path(name)
    return name


def lines_of(path: str, encoding: str = "utf-8") -> Iterator[str]:
    """Yield each line of a file (``.gz`` is unpacked) without the white space around it.

    Raises `DataFileError` if the file can't be read, is not of this encoding (with the line's number), or
    has no line with text; `InputError` for an encoding that nobody knows.
    """
    check_encoding(encoding)
    found = False
    with opened(path) as file:
        for _, line in numbered_lines(file, shown_name(path), encoding):
            text = line.strip()
            found = found or bool(text)
            yield text
    if not found:
        raise DataFileError(f"'{path}' has no text; leave it out.")
