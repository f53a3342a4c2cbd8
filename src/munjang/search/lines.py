"""A user's file as decoded lines, with an error that names the line where it is not what it should be."""

from __future__ import annotations

import codecs
import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from munjang.errors import DataFileError, InputError

__all__ = ["STDIN", "check_encoding", "check_path", "numbered_lines", "opened", "shown_name"]

STDIN = "-"
_MARK = "\ufeff"
_BLOCK = 1 << 16
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def shown_name(path: str) -> str:
    """Name a file in a message."""
    return "standard input" if path == STDIN else f"'{path}'"


def check_encoding(encoding: str) -> None:
    """Raise `InputError` unless Python knows a character encoding of this name."""
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise InputError(
            f"There is no character encoding '{encoding}'; try utf-8, cp949 or utf-16."
        ) from None


def check_path(path: str) -> None:
    """Raise `DataFileError` unless there is a file to be read, or a pipe."""
    if path == STDIN:
        return
    # os.path asks without raising for names that no file can have.
    if os.path.isdir(path):  # noqa: PTH112
        raise DataFileError(f"'{path}' is a folder; name a file in it.")
    if not os.path.exists(path):  # noqa: PTH110
        raise DataFileError(f"There is no file '{path}'.")


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, unpacking ``.gz``; ``-`` is standard input.

    Raises `DataFileError` if it is missing, a folder, not readable or a broken archive.
    """
    check_path(path)
    try:
        if path == STDIN:
            yield _stdin()
        elif path.lower().endswith(".gz"):
            with gzip.open(path, "rb") as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            with Path(path).open("rb") as file:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataFileError(f"{shown_name(path)} is not a whole gzip file: {error}.") from error
    except OSError as error:
        raise DataFileError(f"Can't read {shown_name(path)}: {error.strerror or error}.") from error


def _stdin() -> IO[bytes]:
    if sys.stdin is None:  # a program can be started without one
        raise DataFileError("There is no standard input to read from.")
    return sys.stdin.buffer


def numbered_lines(file: IO[bytes], name: str, encoding: str) -> Iterator[tuple[int, str]]:
    """Give each line with its number from 1, its end kept as one line feed.

    Only a line feed (after a carriage return or not) ends a line, as everywhere outside Python. Raises
    `DataFileError` with the line's number for bytes that are not of this encoding, and for NUL.
    """
    lines = _lines(file, name, encoding) if _ends_bytes(encoding) else _decoded_lines(file, name, encoding)
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise DataFileError(f"{name}, line {number}: a NUL character; this is not a text file.")
        yield number, f"{line[:-2]}\n" if line.endswith("\r\n") else line


def _lines(file: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    # Line by line, so that the error can say which.
    for number, raw in enumerate(file, 1):
        try:
            line = raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise _not_decodable(raw, name, number, encoding, error) from None
        yield line.removeprefix(_MARK) if number == 1 else line


# What a byte means depends on bytes of earlier lines in these: a shift, or the one header of ISO-2022-KR.
_STATEFUL = ("utf-7", "hz", "iso2022")


def _ends_bytes(encoding: str) -> bool:
    """Return whether bytes can be cut into lines at each byte 0x0A, and each line decoded alone."""
    try:
        alone = b"\n".decode(encoding) == "\n"
    except UnicodeError:  # half a character of UTF-16
        return False
    return alone and not codecs.lookup(encoding).name.startswith(_STATEFUL)


def _decoded_lines(file: IO[bytes], name: str, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    number, rest = 1, ""
    while True:
        block = file.read(_BLOCK)
        try:
            text = rest + decoder.decode(block, final=not block)
        except UnicodeError as error:
            raise DataFileError(f"{name}, line {number} or soon after: not {encoding}: {error}.") from None
        *lines, rest = text.split("\n")
        for line in lines:
            yield f"{line.removeprefix(_MARK) if number == 1 else line}\n"
            number += 1
        if not block:
            break
    if rest:
        yield rest.removeprefix(_MARK) if number == 1 else rest


def _not_decodable(
    raw: bytes, name: str, number: int, encoding: str, error: UnicodeDecodeError
) -> DataFileError:
    place = f"{name}, line {number}: not {encoding.upper()} (byte 0x{raw[error.start]:02x})"
    if number == 1 and raw.startswith(_UTF16_MARKS):
        return DataFileError(f"{place}; it looks like UTF-16: save it as UTF-8 or pass --encoding utf-16.")
    if encoding.lower().replace("-", "") == "utf8" and _looks_like_cp949(raw):
        return DataFileError(f"{place}; it looks like CP949: save it as UTF-8 or pass --encoding cp949.")
    return DataFileError(f"{place}; save it as UTF-8 or pass --encoding NAME.")


def _looks_like_cp949(raw: bytes) -> bool:
    try:
        text = raw.decode("cp949")
    except UnicodeDecodeError:
        return False
    return any("가" <= character <= "힣" for character in text)
