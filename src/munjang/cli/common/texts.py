"""The sources of a command's texts: arguments, standard input or a file; and loading of the model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import typer

from munjang.choices import DType
from munjang.cli.common.commands import given
from munjang.cli.common.errors import FAILED, tell
from munjang.cli.common.options import (
    DEFAULT_MODEL,
    MODEL,
    READING,
    Bundle,
    Column,
    Dtype,
    Encoding,
    Offline,
    Pooling,
    option,
)
from munjang.cli.common.output import print_json
from munjang.data.files import STDIN, DataFile, Row, shown_name
from munjang.errors import DataFileError, InputError

if TYPE_CHECKING:
    from munjang.sentence.cross_encoder import CrossEncoder
    from munjang.sentence.transformer import SentenceTransformer
    from munjang.tasks.loading import ModelOptions

_NO_HEADER = "In CSV and TSV, the first row is data; columns are called 1, 2, 3, ..."

T = TypeVar("T")
R = TypeVar("R")


def usage_error(message: str, option: str | None = None) -> typer.BadParameter:
    """Return the error for inconsistent options; typer prints it and exits with status 2."""
    return typer.BadParameter(message, param_hint=option)


def refuse(why: str, *names: str) -> None:
    """Raise the usage error for the first of these parameters that was given though it has no effect."""
    for name in names:
        if flag := given(name):
            raise usage_error(f"It has no effect {why}.", flag)


def refuse_reading(*paths: str | Path) -> None:
    """Raise the usage error for a reading option that applies to none of these files."""
    if not any(map(given, ("encoding", "no_quoting", "no_header"))):
        return  # some files of other formats are read without these options
    kinds = {DataFile(path=str(path)).kind for path in paths}
    if kinds.isdisjoint((".csv", ".tsv")):
        refuse("on a file that is neither CSV nor TSV", "no_quoting", "no_header")
    if kinds == {".parquet"}:
        refuse("on parquet", "encoding")


def is_piped() -> bool:
    """Return whether standard input exists and is not a terminal."""
    return sys.stdin is not None and not sys.stdin.isatty()


def lines_of_stdin() -> list[str]:
    """Read standard input, one text per line."""
    return [row.text for row in DataFile(path=STDIN)]


def line_pairs(a: str, b: str) -> list[tuple[str, str]]:
    """Return the pair of two arguments, or a pair for each line of standard input if one of them is ``-``."""
    if a == b == STDIN:
        raise usage_error("Only one of the two can be standard input.", "A")
    if a == STDIN:
        return [(line, b) for line in lines_of_stdin()]
    return [(a, line) for line in (lines_of_stdin() if b == STDIN else [b])]


def queries_of(query: str) -> list[str]:
    """Return the query, or each line of standard input; raise `InputError` for an empty query."""
    if query == STDIN:
        return lines_of_stdin()
    check_query(query)
    return [query]


def check_query(query: str) -> None:
    """Raise `InputError` for an empty query, for example from an unset shell variable."""
    if not query.strip():
        raise InputError("The query is empty; write what to look for.")


def text_or_lines(text: str | None) -> list[str]:
    """Return the text of an argument, or the lines of standard input if it is ``-`` or missing."""
    if text is None and not is_piped():
        raise usage_error("Write a text, or pipe texts in.", "TEXT")
    return lines_of_stdin() if text in (None, STDIN) else [str(text)]


@contextmanager
def answered(
    lines: Sequence[T], answer: Callable[[Sequence[T]], Sequence[R]]
) -> Iterator[list[tuple[T, R | None]]]:
    """Yield each line of standard input with its answer, or with None if there is no answer.

    Lines for which ``answer`` raises `InputError` are reported by their numbers, from 1, and the block ends
    with exit status 1. An error that all lines have, such as a wrong option, is raised once.
    """
    answers = _answers(lines, answer)
    errors = {number: each for number, each in enumerate(answers, 1) if isinstance(each, InputError)}
    if len(errors) == len(answers) and len(set(map(str, errors.values()))) == 1:
        raise errors[1]
    for number, error in errors.items():
        tell(f"{shown_name(STDIN)}:{number}: {error}")
    valid = [None if isinstance(each, InputError) else each for each in answers]
    yield list(zip(lines, valid, strict=True))
    if errors:
        raise typer.Exit(FAILED)


def print_answers(
    lines: Sequence[T],
    answer: Callable[[Sequence[T]], Sequence[R]],
    as_json: bool,
    to_json: Callable[[R], Any],
    show: Callable[[T, R], None],
) -> None:
    """Print each line's answer with ``show`` or as JSON: null for a line that has none, see `answered`."""
    with answered(lines, answer) as results:
        for line, result in results:
            if as_json:
                print_json(None if result is None else to_json(result))
            elif result is not None:
                show(line, result)


def _answers(lines: Sequence[T], answer: Callable[[Sequence[T]], Sequence[R]]) -> list[R | InputError]:
    """Return each line's answer or error; bisect the lines until an invalid line is alone."""
    try:
        return list(answer(lines))
    except InputError as error:
        if len(lines) == 1:
            return [error]
    middle = len(lines) // 2
    return [*_answers(lines[:middle], answer), *_answers(lines[middle:], answer)]


def file_or_stdin(file: str | None, name: str) -> str:
    """Return the file of an argument, or standard input if it is missing."""
    if file is None and not is_piped():
        raise usage_error("Name a file, or pipe texts in.", name)
    return STDIN if file is None else file


@dataclass(frozen=True)
class Reading:
    """Options: how a file of texts is read."""

    panel: ClassVar = READING
    column: Column = None
    encoding: Encoding = "utf-8"
    no_quoting: Annotated[bool, option("In CSV and TSV, quotation marks have no special meaning.")] = False
    no_header: Annotated[bool, option(_NO_HEADER)] = False

    def file(self, path: str, *, ids: bool = True) -> DataFile:
        """Return the file of texts; raise the usage error for an option that has no effect on this file."""
        refuse_reading(path)
        return DataFile(
            path=path,
            column=self.column,
            encoding=self.encoding,
            quoting=self.quoting,
            header=not self.no_header,
            ids=ids,
        )

    def arguments(self, *paths: str | Path) -> dict[str, Any]:
        """Return the arguments of the readers of `munjang.data` for these files, checked as in `file`.

        Without --no-header there is no argument ``header``: some readers can recognise a header.
        """
        refuse_reading(*paths)
        header = {"header": False} if self.no_header else {}
        return {"encoding": self.encoding, "quoting": self.quoting, **header}

    @property
    def quoting(self) -> bool | None:
        """Whether quotes quote fields; with None the reader decides."""
        return False if self.no_quoting else None


# For commands whose columns have options of their own.
TableReading = Annotated[Reading, Bundle(without=("column",))]


def rows_with_text(source: DataFile) -> list[Row]:
    """Read all rows of a file except rows with only white space."""
    rows = [row for row in source if row.text.strip()]
    if not rows:
        raise DataFileError(f"{source.name} holds no text in any row.")
    return rows


@dataclass(frozen=True)
class Opening:
    """Options: the model for sentence vectors, and how it is opened."""

    panel: ClassVar = MODEL
    model: Annotated[
        str | None,
        option(
            "A folder, a name of `munjang models`, or a Hugging Face repository.",
            "NAME",
            "-m",
            shown=DEFAULT_MODEL,
        ),
    ] = None
    offline: Offline = None
    pooling: Pooling = None
    dtype: Dtype = "float32"

    @property
    def name(self) -> str:
        """The name or folder of the model."""
        return DEFAULT_MODEL if self.model is None else self.model

    def sentence_model(self) -> SentenceTransformer:
        """Open the model."""
        from munjang.sentence.transformer import SentenceTransformer

        return SentenceTransformer(
            self.name, pooling=self.pooling, local_files_only=self.offline, dtype=self.dtype
        )


@dataclass(frozen=True, kw_only=True)
class TaskOpening:
    """Options: the model of a task, and how it is opened."""

    panel: ClassVar = MODEL
    model: Annotated[
        str, option("A folder or a Hugging Face repository, with the head that the task needs.", "NAME", "-m")
    ]
    offline: Offline = None
    dtype: Dtype = "float32"

    def open(self, task: Callable[..., T], **settings: Any) -> T:
        """Open the model with the class of a task."""
        return task(self.model, options=model_options(self.offline, self.dtype), **settings)


# For commands that make no sentence vectors.
ModelOpening = Annotated[Opening, Bundle(without=("pooling", "dtype"))]


@dataclass(frozen=True)
class Prompting:
    """Options: the text before each text."""

    panel: ClassVar = MODEL
    prompt_name: Annotated[
        str | None, option("Which of the model's prompts to put before each text, such as query.", "NAME")
    ] = None
    prompt: Annotated[str | None, option("A text to put before each text.", "TEXT")] = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `encode`; raise the usage error if both options are given."""
        if self.prompt is not None:
            refuse("beside --prompt", "prompt_name")
        return {"prompt_name": self.prompt_name, "prompt": self.prompt}


def cross_encoder(name: str, *, offline: bool | None) -> CrossEncoder:
    """Open a model for scores of pairs."""
    from munjang.sentence.cross_encoder import CrossEncoder

    return CrossEncoder(name, local_files_only=offline)


def model_options(offline: bool | None, dtype: DType = "float32") -> ModelOptions:
    """Return the settings with which a command opens the model of a task."""
    from munjang.tasks.loading import ModelOptions

    return ModelOptions(offline=offline, dtype=dtype)
