"""Questions and answers are read from whatever columns a file has, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from munjang.data.readers.question_answers import QuestionAnswer, read_question_answers
from munjang.errors import DataFileError


def write(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("header", ["question,answer", "Q,A", "질문,답변", "id,question,answer", "A,Q"])
def test_usual_names(header: str, tmp_path: Path) -> None:
    columns = header.split(",")
    row = {"id": "1", "question": "어디?", "Q": "어디?", "질문": "어디?"}
    cells = ",".join(row.get(column, "여기") for column in columns)
    path = write(tmp_path, "qa.csv", f"{header}\n{cells}\n")
    assert read_question_answers(path) == [QuestionAnswer("어디?", "여기")]


def test_named_columns_and_empty_cells(tmp_path: Path) -> None:
    path = write(tmp_path, "qa.tsv", "kid\tgrown-up\n why? \tbecause\n\tnothing\nhow?\t \nwho?\tme\n")
    found = read_question_answers(path, "kid", "grown-up")
    assert found == [QuestionAnswer("why?", "because"), QuestionAnswer("who?", "me")]


def test_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "qa.jsonl", '{"Q": "a?", "A": "b"}\n{"Q": "c?", "A": null}\n')
    assert read_question_answers(path) == [QuestionAnswer("a?", "b")]


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("qa.csv", "x,y\n1,2\n", (), "has the columns x, y; say which holds the questions: --question NAME"),
        ("qa.csv", "Q,y\n1,2\n", (), "has the columns Q, y; say which holds the answers: --answer NAME"),
        ("qa.csv", "Q,A\n1,2\n", ("frage",), "has no column 'frage'; it has Q, A"),
        ("qa.csv", "Q,A\n1,2\n", ("Q", "antwort"), "has no column 'antwort'; it has Q, A"),
        ("qa.csv", "Q,A\n,2\n1,\n", (), "no row with both a question and an answer"),
        ("qa.csv", "", (), "it is empty"),
        ("qa.txt", "why?\n", (), "has no columns"),
        ("qa.jsonl", '{"Q": "a", "A": 3}\n', (), "line 1: 'A' is a number, not a text"),
        ("-", "", (), "can't come from standard input"),
    ],
)
def test_bad_files(name: str, content: str, columns: tuple[str, ...], message: str, tmp_path: Path) -> None:
    path = name if name == "-" else write(tmp_path, name, content)
    with pytest.raises(DataFileError, match=message):
        read_question_answers(path, *columns)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"missing\.csv"):
        read_question_answers(str(tmp_path / "missing.csv"))
