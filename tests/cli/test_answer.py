"""`munjang answer`: the forms that scripts rely on, the text output, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from munjang.tasks.question_answering import QuestionAnswering
from support.answers import LONG, QUESTION, SHORT, make_answerer
from support.gpt2 import make_gpt2
from support.program import invoke_here


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answerer")
    make_answerer("bert", folder)
    return folder


def run(*arguments: object, exit_code: int = 0) -> Any:
    result = invoke_here(*arguments)
    assert result.exit_code == exit_code, result.output
    return result


def test_answer(answerer: Path) -> None:
    found = json.loads(run("answer", QUESTION, "--context", SHORT, "--json", "-m", answerer).stdout)
    assert list(found) == ["answer", "start", "end", "score"]
    expected: Any = QuestionAnswering(answerer)(QUESTION, SHORT)
    assert found["answer"] == expected["answer"] == SHORT[found["start"] : found["end"]]
    assert found["score"] == pytest.approx(expected["score"], abs=1e-6)


def test_answers_of_a_file(answerer: Path, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text(LONG, encoding="utf-8")
    arguments = ("answer", QUESTION, "--context-file", file, "--top", 3, "-m", answerer)
    found = json.loads(run(*arguments, "--json").stdout)
    expected: Any = QuestionAnswering(answerer)(QUESTION, LONG, top_k=3)
    assert [(one["start"], one["end"]) for one in found] == [(one["start"], one["end"]) for one in expected]
    table = run(*arguments, "--no-answer", "--trim-particles", "--max-answer-len", 4).stdout
    assert "characters" in table
    assert "no answer 0." in table


def test_answer_with_bad_input(answerer: Path, tmp_path: Path) -> None:
    def complaint(*arguments: object, exit_code: int = 1) -> str:
        return " ".join(run("answer", *arguments, exit_code=exit_code).stderr.split())

    assert "context is empty" in complaint(QUESTION, "--context", " ", "-m", answerer)
    assert "question is empty" in complaint("", "--context", SHORT, "-m", answerer)
    assert "max_question_len" in complaint("어디 " * 100, "--context", SHORT, "-m", answerer)
    assert "either --context or" in complaint(QUESTION, "-m", answerer, exit_code=2)
    assert "can't be read" in complaint(QUESTION, "-f", tmp_path / "none.txt", "-m", answerer)
    old = tmp_path / "old.txt"
    old.write_bytes("서울".encode("cp949"))
    assert "not UTF-8" in complaint(QUESTION, "-f", old, "-m", answerer)
    assert "question-answering head" in complaint(
        QUESTION, "-c", SHORT, "-m", make_gpt2(tmp_path / "writer").folder
    )
