"""Questions with their answers, read from a user's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from munjang.data.files import STDIN, DataFile
from munjang.errors import DataFileError

__all__ = ["QuestionAnswer", "read_question_answers"]

# Usual names of the two columns, in order of preference; case-insensitive.
_QUESTIONS = ("question", "q", "질문", "questions", "query", "문의")
_ANSWERS = ("answer", "a", "답변", "답", "answers", "reply", "response")


class QuestionAnswer(NamedTuple):
    """A stored question and its answer."""

    question: str
    answer: str


def read_question_answers(
    path: str, question: str | None = None, answer: str | None = None, *, encoding: str = "utf-8"
) -> list[QuestionAnswer]:
    """Read CSV, TSV, JSON Lines or parquet with a column of questions and one of answers.

    Columns that are not named are found by their usual names (question, Q, 질문; answer, A, 답변). Rows with
    an empty question or answer are left out. Raises `DataFileError` for a file that is not as it should be,
    without such columns, or without one row that has both.
    """
    if path == STDIN:
        raise DataFileError("Questions and answers can't come from standard input, where you will ask.")
    columns = _columns(path, encoding)
    q = _choose(path, columns, question, _QUESTIONS, "questions", "--question")
    a = _choose(path, columns, answer, _ANSWERS, "answers", "--answer")
    found = list(_pairs(DataFile(path=path, column=q, encoding=encoding), a))
    if not found:
        raise DataFileError(f"'{path}' has no row with both a question and an answer.")
    return found


def _columns(path: str, encoding: str) -> list[str]:
    file = DataFile(path=path, encoding=encoding)
    if not file.has_columns:
        raise DataFileError(
            f"'{path}' has no columns; questions and answers come as .csv, .tsv, .jsonl or .parquet."
        )
    return file.columns()


def _choose(
    path: str, columns: list[str], named: str | None, usual: tuple[str, ...], what: str, option: str
) -> str:
    if named is not None:
        if named not in columns:
            raise DataFileError(f"'{path}' has no column '{named}'; it has {', '.join(columns)}.")
        return named
    by_name = {column.strip().casefold(): column for column in reversed(columns)}
    for name in usual:
        if name in by_name:
            return by_name[name]
    raise DataFileError(
        f"'{path}' has the columns {', '.join(columns)}; say which holds the {what}: {option} NAME."
    )


def _pairs(file: DataFile, answer: str) -> Iterator[QuestionAnswer]:
    for row in file:
        reply = _text(file, row.number, answer, row.values)
        if row.text.strip() and reply.strip():
            yield QuestionAnswer(row.text.strip(), reply.strip())


def _text(file: DataFile, number: int, column: str, values: Mapping[str, Any]) -> str:
    value = values.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataFileError(f"{file.name}, row {number}: '{column}' is {value!r}, not a text.")
    return value
