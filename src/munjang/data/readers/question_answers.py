"""Questions with their answers, read from a user's file."""

from __future__ import annotations

from typing import NamedTuple

from munjang.data.files import STDIN, DataFile
from munjang.data.records import Columns
from munjang.errors import DataFileError

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
    """Read CSV, TSV, JSON Lines or parquet with a column of questions and a column of answers.

    Columns that are not named are found by their usual names (question, Q, 질문; answer, A, 답변). Rows with
    an empty question or answer are left out. Raises `DataFileError` for an invalid file, missing columns, or
    a file without a row that has both.
    """
    if path == STDIN:
        raise DataFileError("Questions and answers can't come from standard input, where you will ask.")
    file = DataFile(path=path, encoding=encoding)
    if not file.has_columns:
        raise DataFileError(
            f"'{path}' has no columns; questions and answers come as .csv, .tsv, .jsonl or .parquet."
        )
    columns = Columns(file.name, file.columns())
    question = columns.choose(question, _QUESTIONS, "questions", "--question")
    answer = columns.choose(answer, _ANSWERS, "answers", "--answer")
    pairs: list[QuestionAnswer] = []
    for entry in file.records():
        has_answer = entry.values.get(answer) is not None
        texts = (entry.string(question).strip(), entry.string(answer).strip() if has_answer else "")
        if all(texts):
            pairs.append(QuestionAnswer(*texts))
    if not pairs:
        raise DataFileError(f"'{path}' has no row with both a question and an answer.")
    return pairs
