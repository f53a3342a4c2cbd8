"""`munjang generate` and `answer`: the forms that scripts rely on, what a person sees, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from munjang.tasks.generation.text_generation import TextGeneration
from munjang.tasks.question_answering import QuestionAnswering
from support.answers import LONG, QUESTION, SHORT, make_answerer
from support.gpt2 import make_gpt2
from support.processes import python_environment
from support.program import invoke_here


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gpt2(tmp_path_factory.mktemp("writer")).folder


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answerer")
    make_answerer("bert", folder)
    return folder


def run(*arguments: object, exit_code: int = 0) -> Any:
    result = invoke_here(*arguments, columns=120)
    assert result.exit_code == exit_code, result.output
    return result


def test_generate_writes_the_text(writer: Path) -> None:
    prompt = "고양이가"
    shown = run("generate", prompt, "--max-new-tokens", 20, "--seed", 1, "--model", writer).stdout
    [found] = TextGeneration(writer)(prompt, max_new_tokens=20, seed=1)
    text = found["generated_text"]
    given = run("generate", prompt, "--max-new-tokens", 20, "--seed", 1, "-m", writer, "--json").stdout
    assert json.loads(given) == [{"generated_text": text}]
    assert shown.startswith(prompt)
    assert shown.endswith("\n")
    plain = "".join(c for c in text if unicodedata.category(c) != "Cc")
    if plain == text:  # no character that would steer a terminal
        assert shown == f"{text}\n"


def test_generate_with_every_option(writer: Path) -> None:
    arguments = ("--max-new-tokens", 12, "--temperature", 0.8, "--top-k", 20, "--top-p", 0.9, "--seed", 3)
    more = ("--repetition-penalty", 1.2, "--stop", "qq", "--stop", "zz", "-m", writer, "--json")
    found = json.loads(run("generate", "The cat", *arguments, *more).stdout)
    expected = TextGeneration(writer)(
        "The cat",
        max_new_tokens=12,
        temperature=0.8,
        top_k=20,
        top_p=0.9,
        seed=3,
        repetition_penalty=1.2,
        stop=["qq", "zz"],
    )
    assert found == expected
    greedy = run("generate", "The cat", "--greedy", "--max-new-tokens", 12, "-m", writer, "--json")
    assert json.loads(greedy.stdout) == TextGeneration(writer)("The cat", max_new_tokens=12)
    eight_bit = run("generate", "The cat", "--weights", "int8", "--max-new-tokens", 3, "-m", writer, "--json")
    assert json.loads(eight_bit.stdout)[0]["generated_text"].startswith("The cat")


def test_generate_shows_candidates(writer: Path) -> None:
    options = ("--candidates", "--top-k", 4, "--top-p", 0.2, "-m", writer)
    rows = json.loads(run("generate", "The cat", *options, "--json").stdout)
    expected = TextGeneration(writer).candidates("The cat", top_k=4, top_p=0.2)
    assert [row["token"] for row in rows] == [row["token"] for row in expected]
    assert list(rows[0]) == list(expected[0])
    table = run("generate", "The cat", *options).stdout
    assert "cumulative" in table
    assert "kept" in table
    assert str(expected[3]["token"]) in table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--temperature", "0"), "for the best token each time, --greedy."),
        (("--temperature", "-1"), "temperature must be above 0"),
        (("--top-p", "1.5"), "--top-p must be above 0 and at most 1"),
        (("--top-k", "0"), "--top-k must be at least 1"),
        (("--stop", ""), "stop string is empty"),
    ],
)
def test_generate_with_bad_input(writer: Path, options: tuple[str, ...], message: str) -> None:
    result = run("generate", "The cat", *options, "-m", writer, exit_code=1)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_a_prompt_that_fills_the_model(writer: Path) -> None:
    result = run("generate", "고양이가 " * 40, "-m", writer, exit_code=1)
    assert "shorten it" in result.stderr


def test_ctrl_c_in_the_middle_of_a_text(writer: Path, tmp_path: Path) -> None:
    """As a person at a terminal does it: after the first piece, SIGINT to the process."""
    slow = (
        "import sys, time\n"
        "from munjang.tasks.generation import decoding\n"
        "read = decoding.Session.read\n"
        "def slowly(*arguments, **options):\n"
        "    time.sleep(0.2)\n"
        "    return read(*arguments, **options)\n"
        "decoding.Session.read = slowly\n"
        "from munjang.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", slow, "generate", "The cat", "--max-new-tokens", "40", "-m", str(writer)]
    environment = python_environment(tmp_path)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        begun = os.read(process.stdout.fileno(), 100)
        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130
    assert (begun + rest).startswith(b"The cat")
    assert rest.endswith(b"\n")
    assert b"Traceback" not in errors


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


def test_answer_with_bad_input(answerer: Path, writer: Path, tmp_path: Path) -> None:
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
    assert "question-answering head" in complaint(QUESTION, "-c", SHORT, "-m", writer)
    assert "causal-lm head" in run("generate", "a", "-m", answerer, exit_code=1).stderr
