"""Questions with the offsets of their answers, and questions with answers in a table.

Bad: no JSON, no "data", a part that is missing or of another type, an answer that is not at its place (it
stands elsewhere, nowhere, in another normal form, behind the end), a place that is negative or no whole
number, an empty answer, question or context, two questions of one id, no question at all.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from munjang.data import read_questions
from munjang.data.examples import AnswerSpan, QuestionExample
from munjang.data.readers.questions import QuestionAnswer, read_question_answers
from munjang.errors import DataFileError

CONTEXT = "서울은 한국의 수도다. 서울은 크다."


def question(identifier: object = "q1", *answers: tuple[object, object], **more: object) -> dict[str, Any]:
    spans = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": identifier, "question": "수도는 어디인가?", "answers": spans, **more}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def squad(path: Path, *questions: object, context: object = CONTEXT) -> Path:
    paragraphs = [{"context": context, "qas": list(questions)}]
    return write(path / "a.json", {"version": "1.1", "data": [{"title": "서울", "paragraphs": paragraphs}]})


def test_questions_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = squad(tmp_path, question("q1", ("서울", 0), ("서울", 13)), question("q2", ("크다", 17)))
    first, second = read_questions(path)
    assert first == QuestionExample(
        "q1", "수도는 어디인가?", CONTEXT, (AnswerSpan("서울", 0), AnswerSpan("서울", 13))
    )
    assert (second.id, second.answers) == ("q2", (AnswerSpan("크다", 17),))


def test_questions_without_an_answer(tmp_path: Path) -> None:
    impossible = question("q1", ("서울", 99), is_impossible=True, plausible_answers=[])
    unanswered = question("q2", is_impossible=False)
    assert [found.answers for found in read_questions(squad(tmp_path, impossible, unanswered))] == [(), ()]


def test_other_names_of_the_id(tmp_path: Path) -> None:
    klue = {"guid": "klue-mrc-1", "question": "어디?", "answers": []}
    found = read_questions(squad(tmp_path, klue, question(7)))
    assert [one.id for one in found] == ["klue-mrc-1", "7"]


def test_offsets_refer_to_the_unchanged_text(tmp_path: Path) -> None:
    context, answer = (unicodedata.normalize("NFD", text) for text in ("나라의 수도는 서울", "서울"))
    start = context.index(answer)
    (found,) = read_questions(squad(tmp_path, question("q1", (answer, start)), context=context))
    assert found.context == context
    assert found.answers == (AnswerSpan(answer, start),)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            ("서울", 1),
            "the answer '서울' should begin at character 1, but '울은' is there; it begins at 0, 13.",
        ),
        (
            ("수도다", 7),
            "the answer '수도다' should begin at character 7, but ' 수도' is there; it begins at 8.",
        ),
        (
            ("부산", 0),
            "the answer '부산' should begin at character 0, but '서울' is there; it does not occur in",
        ),
        (
            ("크다", 99),
            "'크다' should begin at character 99, but the text has 20 characters; it begins at 17.",
        ),
        ((unicodedata.normalize("NFD", "한국"), 4), "it occurs only in another normal form of Unicode"),
        (("서울", -7), "'answer_start' is -7; offsets count from 0."),
        (("서울", "0"), "'answer_start' is '0', not a whole number."),
        (("서울", 0.5), "'answer_start' is 0.5, not a whole number."),
        (("서울", True), "'answer_start' is a truth value, not a whole number."),
        (("서울", None), "'answer_start' is null, not a whole number."),
        (("", 0), "'text' is empty."),
        ((["서울"], 0), "'text' is a list, not a text."),
    ],
)
def test_answers_that_are_not_at_their_offset(
    answer: tuple[object, object], message: str, tmp_path: Path
) -> None:
    check(squad(tmp_path, question("q0", ("크다", 17)), question("q1", answer)), "question 'q1': ", message)


def test_an_answer_at_many_offsets_and_a_long_answer(tmp_path: Path) -> None:
    check(squad(tmp_path, question("q", ("나", 0)), context="가나" * 5), "begins at 1, 3, 5 and elsewhere.")
    check(
        squad(tmp_path, question("q", ("나" * 500, 0)), context="가" * 600), f"'{'나' * 60}...' should begin"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"version": "1.1"}, "has no 'data'; it is not in the layout of SQuAD or KorQuAD."),
        ([], "has no 'data'"),
        ({"data": []}, "has no questions."),
        ({"data": [{"title": "서울", "paragraphs": []}]}, "has no questions."),
        ({"data": {}}, "at the top: 'data' is an object, not a list."),
        ({"data": ["서울"]}, "at the top: an entry of 'data' is a text, not an object."),
        ({"data": [{"title": "서울"}]}, "article 1: there is no 'paragraphs'."),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "article 1, paragraph 1: there is no 'context'."),
        ({"data": [{"paragraphs": [{"context": "글"}]}]}, "article 1, paragraph 1: there is no 'qas'."),
        ({"data": [{"paragraphs": [{"context": 3, "qas": []}]}]}, "'context' is a number, not a text."),
    ],
)
def test_other_layouts(content: object, message: str, tmp_path: Path) -> None:
    check(write(tmp_path / "a.json", content), message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": None}, "article 1, paragraph 1, question 1: 'id' is empty."),
        ({"id": " "}, "'id' is empty."),
        ({"question": ""}, "question 'q1': 'question' is empty."),
        ({"answers": None}, "question 'q1': 'answers' is null, not a list."),
        ({"answers": ["서울"]}, "question 'q1': an entry of 'answers' is a text, not an object."),
        ({"answers": [{"text": "서울"}]}, "question 'q1': there is no 'answer_start'."),
        ({"is_impossible": "no"}, "question 'q1': 'is_impossible' is 'no', neither true nor false."),
    ],
)
def test_questions_of_the_wrong_form(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    check(squad(tmp_path, {**question("q1", ("서울", 0)), **changes}), message)


def test_two_questions_of_one_id(tmp_path: Path) -> None:
    path = squad(tmp_path, question("q1", ("서울", 0)), question("q2"), question("q1"))
    check(path, "question 'q1': there is another with this id.")


def test_an_id_is_unchanged(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "질문-1")
    assert [example.id for example in read_questions(squad(tmp_path, question(name)))] == [name]


def test_another_encoding(tmp_path: Path) -> None:
    path = squad(tmp_path, question("q1", ("서울", 0)))
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp949"))
    check(path, "line 1: not UTF-8", "it looks like CP949: save it as UTF-8 or pass encoding='cp949'.")
    assert [example.context for example in read_questions(path, encoding="cp949")] == [CONTEXT]


def test_no_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"data": [\n{"paragraphs": }]}', encoding="utf-8")
    check(path, "line 2: not JSON: Expecting value; questions come as JSON in the layout of SQuAD")
    path.write_text("[" * 200_000, encoding="utf-8")
    check(path, "JSON")


def check(path: Path, *parts: str) -> None:
    with pytest.raises(DataFileError) as caught:
        read_questions(path)
    message = str(caught.value)
    assert message.startswith(f"'{path}'")
    assert "\n" not in message
    for part in parts:
        assert part in message


def write_table(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("header", ["question,answer", "Q,A", "질문,답변", "id,question,answer", "A,Q"])
def test_question_answers_by_usual_column_names(header: str, tmp_path: Path) -> None:
    columns = header.split(",")
    row = {"id": "1", "question": "어디?", "Q": "어디?", "질문": "어디?"}
    cells = ",".join(row.get(column, "여기") for column in columns)
    path = write_table(tmp_path, "qa.csv", f"{header}\n{cells}\n")
    assert read_question_answers(path) == [QuestionAnswer("어디?", "여기")]


def test_question_answers_by_column_names_without_empty_cells(tmp_path: Path) -> None:
    path = write_table(tmp_path, "qa.tsv", "kid\tgrown-up\n why? \tbecause\n\tnothing\nhow?\t \nwho?\tme\n")
    found = read_question_answers(path, "kid", "grown-up")
    assert found == [QuestionAnswer("why?", "because"), QuestionAnswer("who?", "me")]


def test_question_answers_in_json_lines(tmp_path: Path) -> None:
    path = write_table(tmp_path, "qa.jsonl", '{"Q": "a?", "A": "b"}\n{"Q": "c?", "A": null}\n')
    assert read_question_answers(path) == [QuestionAnswer("a?", "b")]
    path = write_table(
        tmp_path, "qb.jsonl", '{"Q": null, "A": "b"}\n{"Q": "c?", "A": "d"}\n{"Q": " ", "A": ""}'
    )
    assert read_question_answers(path) == [QuestionAnswer("c?", "d")]


def test_question_answers_by_the_keys_of_all_rows(tmp_path: Path) -> None:
    lines = ['{"Q": "a?", "A": "b"}', '{"question": "c?", "answer": "d"}']
    for order in (lines, lines[::-1]):
        path = write_table(tmp_path, "qa.jsonl", "\n".join(order))
        with pytest.raises(DataFileError, match="there is no 'question'"):
            read_question_answers(path)
    path = write_table(tmp_path, "qb.jsonl", '{"Q": "a?"}\n{"Q": "c?", "A": "d"}')
    with pytest.raises(DataFileError, match="line 1: there is no 'A'"):
        read_question_answers(path)


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("qa.csv", "x,y\n1,2\n", (), "has the columns x, y; say which holds the questions: question=NAME"),
        ("qa.csv", "Q,y\n1,2\n", (), "has the columns Q, y; say which holds the answers: answer=NAME"),
        ("qa.csv", "Q,A\n1,2\n", ("frage",), "has no column 'frage'; it has Q, A"),
        ("qa.csv", "Q,A\n1,2\n", ("Q", "antwort"), "has no column 'antwort'; it has Q, A"),
        ("qa.csv", "Q,A\n,2\n1,\n", (), "no row with both a question and an answer"),
        ("qa.csv", "", (), "it is empty"),
        ("qa.txt", "why?\n", (), "has no columns"),
        ("qa.jsonl", '{"Q": "a", "A": 3}\n', (), "line 1: 'A' is a number, not a text"),
        ("-", "", (), "can't come from standard input"),
    ],
)
def test_bad_files_of_question_answers(
    name: str, content: str, columns: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = name if name == "-" else write_table(tmp_path, name, content)
    with pytest.raises(DataFileError, match=message):
        read_question_answers(path, *columns)


def test_missing_file_of_question_answers(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"missing\.csv"):
        read_question_answers(str(tmp_path / "missing.csv"))
