"""Readers of questions: with their answers, and in the layout of SQuAD with answer offsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from munjang.data.examples import AnswerSpan, QuestionExample
from munjang.data.files import STDIN
from munjang.data.records import Entry
from munjang.data.tables import FilePath, Table, check_offset, json_document
from munjang.errors import DataFileError

# Usual names of the columns of questions and answers, in order of preference; case-insensitive.
_QUESTIONS = ("question", "q", "질문", "questions", "query", "문의")
_ANSWERS = ("answer", "a", "답변", "답", "answers", "reply", "response")
_LAYOUT = "questions come as JSON in the layout of SQuAD or KorQuAD"


def read_questions(path: FilePath, *, encoding: str = "utf-8") -> list[QuestionExample]:
    """Read the questions of a file in the layout of SQuAD 1.1, SQuAD 2.0, KorQuAD 1.0 or KLUE-MRC.

    A question that the context does not answer (``is_impossible``) has no answers.

    Raises `DataFileError` for a file that is missing, not JSON or in another layout, a duplicate id, and an
    answer that is not at its offset: with the question's id, the text there, and the answer's offsets; and
    `InputError` for an unknown encoding.
    """
    name, document = json_document(path, encoding, _LAYOUT)
    if not isinstance(document, dict) or "data" not in document:
        raise DataFileError(f"{name} has no 'data'; it is not in the layout of SQuAD or KorQuAD.")
    questions: dict[str, QuestionExample] = {}
    for paragraph in _paragraphs(Entry(name, "at the top", document)):
        for question in _questions(paragraph):
            if question.id in questions:
                raise DataFileError(f"{name}, question {question.id!r}: there is another with this id.")
            questions[question.id] = question
    if not questions:
        raise DataFileError(f"{name} has no questions.")
    return list(questions.values())


def _paragraphs(whole: Entry) -> Iterator[Entry]:
    for number, values in enumerate(whole.objects("data"), 1):
        article = Entry(whole.file, f"article {number}", values)
        for index, paragraph in enumerate(article.objects("paragraphs"), 1):
            yield Entry(whole.file, f"{article.position}, paragraph {index}", paragraph)


def _questions(paragraph: Entry) -> Iterator[QuestionExample]:
    context = paragraph.text("context")
    for number, values in enumerate(paragraph.objects("qas"), 1):
        identifier = _id(Entry(paragraph.file, f"{paragraph.position}, question {number}", values))
        question = Entry(paragraph.file, f"question {identifier!r}", values)
        yield QuestionExample(identifier, question.text("question"), context, _answers(question, context))


def _id(question: Entry) -> str:
    return question.identifier("guid" if "id" not in question.values and "guid" in question.values else "id")


def _answers(question: Entry, context: str) -> tuple[AnswerSpan, ...]:
    impossible = question.values.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise question.error(f"'is_impossible' is {impossible!r:.40}, neither true nor false.")
    if impossible:
        return ()
    return tuple(_answer(question, values, context) for values in question.objects("answers"))


def _answer(question: Entry, values: Mapping[str, Any], context: str) -> AnswerSpan:
    answer = Entry(question.file, question.position, values)
    text, start = answer.text("text"), answer.as_offset(answer.value("answer_start"), "'answer_start'")
    check_offset(answer, "the answer", text, start, context)
    return AnswerSpan(text, start)


class QuestionAnswer(NamedTuple):
    """A stored question and its answer."""

    question: str
    answer: str


def read_question_answers(
    path: str, question: str | None = None, answer: str | None = None, *, encoding: str = "utf-8"
) -> list[QuestionAnswer]:
    """Read CSV, TSV, JSON Lines or parquet with a column of questions and a column of answers.

    Columns that are not named are found by their usual names (question, Q, 질문; answer, A, 답변). Rows whose
    question or answer is null or blank are left out. Raises `DataFileError` for an invalid file, missing
    columns or keys, or a file without a row that has both.
    """
    if path == STDIN:
        raise DataFileError("Questions and answers can't come from standard input, where you will ask.")
    table = Table(path, encoding=encoding)
    columns = [
        table.columns.choose(question, _QUESTIONS, "questions", "question"),
        table.columns.choose(answer, _ANSWERS, "answers", "answer"),
    ]
    pairs: list[QuestionAnswer] = []
    for entry in table:
        texts = ["" if entry.value(name) is None else entry.string(name).strip() for name in columns]
        if all(texts):
            pairs.append(QuestionAnswer(*texts))
    if not pairs:
        raise DataFileError(f"'{path}' has no row with both a question and an answer.")
    return pairs
