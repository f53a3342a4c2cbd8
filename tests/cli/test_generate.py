"""`munjang generate`: the forms that scripts rely on, the text output, bad input."""

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
from support.answers import make_answerer
from support.gpt2 import make_gpt2
from support.processes import python_environment
from support.program import invoke_here


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gpt2(tmp_path_factory.mktemp("writer")).folder


def run(*arguments: object, exit_code: int = 0) -> Any:
    result = invoke_here(*arguments)
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


def test_a_prompt_of_the_maximum_length(writer: Path) -> None:
    result = run("generate", "고양이가 " * 40, "-m", writer, exit_code=1)
    assert "shorten it" in result.stderr


def test_ctrl_c_in_the_middle_of_a_text(writer: Path, tmp_path: Path) -> None:
    """Send SIGINT to the process after the first piece, as Ctrl-C at a terminal does."""
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


def test_a_model_without_the_head(tmp_path: Path) -> None:
    make_answerer("bert", tmp_path)
    assert "causal-lm head" in run("generate", "a", "-m", tmp_path, exit_code=1).stderr
