"""Where a command's texts come from: its arguments, standard input, or a file; and the model for them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from munjang.cli.options import DEFAULT_MODEL, split_pooling
from munjang.errors import DataFileError
from munjang.search.lines import STDIN
from munjang.search.reading import DataFile, Row

if TYPE_CHECKING:
    from munjang.sentence.cross_encoder import CrossEncoder
    from munjang.sentence.transformer import SentenceTransformer

__all__ = [
    "cross_encoder",
    "data_file",
    "file_or_stdin",
    "is_piped",
    "lines_of_stdin",
    "rows_with_text",
    "sentence_model",
    "text_or_lines",
    "usage_error",
]


def usage_error(message: str, option: str | None = None) -> typer.BadParameter:
    """Make the error for options that do not fit together; typer explains it and exits with 2."""
    return typer.BadParameter(message, param_hint=option)


def is_piped() -> bool:
    """Say whether something other than a person is on standard input."""
    return sys.stdin is not None and not sys.stdin.isatty()


def lines_of_stdin() -> list[str]:
    """Read standard input, one text per line."""
    return [row.text for row in DataFile(path=STDIN)]


def text_or_lines(text: str | None, name: str) -> list[str]:
    """Give the text of an argument, or the lines of standard input for ``-`` or in its absence."""
    if text is None and not is_piped():
        raise usage_error("Give a text, or pipe some in.", name)
    return lines_of_stdin() if text in (None, STDIN) else [str(text)]


def file_or_stdin(file: str | None, name: str) -> str:
    """Give the file of an argument, or standard input in its absence."""
    if file is None and not is_piped():
        raise usage_error("Name a file, or pipe texts in.", name)
    return STDIN if file is None else file


def data_file(path: str, column: str | None, encoding: str, *, no_quoting: bool, no_header: bool) -> DataFile:
    """Name a file of texts and how it is to be read, in the terms of the options."""
    return DataFile(path=path, column=column, encoding=encoding, quoting=not no_quoting, header=not no_header)


def rows_with_text(source: DataFile) -> list[Row]:
    """Read a file whole, without the rows that hold nothing but white space."""
    rows = [row for row in source if row.text.strip()]
    if not rows:
        raise DataFileError(f"{source.name} holds no text in any row.")
    return rows


def sentence_model(model: str | None, *, offline: bool, pooling: str | None = None) -> SentenceTransformer:
    """Open a model for sentence vectors."""
    from munjang.sentence.transformer import SentenceTransformer

    return SentenceTransformer(
        model or DEFAULT_MODEL, pooling=split_pooling(pooling), local_files_only=True if offline else None
    )


def cross_encoder(name: str, *, offline: bool) -> CrossEncoder:
    """Open a model for scores of pairs."""
    from munjang.sentence.cross_encoder import CrossEncoder

    return CrossEncoder(name, local_files_only=True if offline else None)
