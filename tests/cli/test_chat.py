"""``munjang chat``: one question, questions piped in, and a conversation at a terminal."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from munjang import ChatBot
from munjang.chat import Neighbour
from munjang.cli.chat import converse, show_neighbours
from support.program import Invoke, Program


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUNJANG_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "qa.csv"
    rows = ["여권을 잃어버렸어요,대사관에 연락하세요.", "언제 도착해요?,이틀 걸려요.", "안녕,안녕하세요!"]
    path.write_text("\n".join(["Q,A", *rows]), encoding="utf-8")
    return path


def test_once_answers_a_single_question(invoke: Invoke, table: Path, model: Path) -> None:
    found = invoke("chat", table, "--once", "언제 도착해요?", "-m", model, "--threshold", "0", "--json")
    assert found.exit_code == 0, found.output
    turn = json.loads(found.stdout)
    assert (turn["answer"], turn["known"]) == ("이틀 걸려요.", True)
    assert turn["neighbours"][0]["question"] == "언제 도착해요?"
    plain = invoke("chat", table, "--once", "언제 도착해요?", "-m", model, "--threshold", "0")
    assert plain.stdout == "이틀 걸려요.\n"


def test_the_index_in_the_cache_is_used_again(
    invoke: Invoke, table: Path, model: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        assert invoke("chat", table, "--once", "안녕", "-m", model, "--threshold", "0").exit_code == 0
    assert len(list((tmp_path / "cache" / "chat").glob("*.munjang"))) == 1


def test_unknown_questions(invoke: Invoke, table: Path, model: Path) -> None:
    arguments = ("chat", table, "--method", "nearest", "-m", model, "--threshold", "1")
    found = invoke(*arguments, "--once", "비행기가 몇 시에 떠나나요?")
    lines = found.stdout.splitlines()
    assert lines[0] == "잘 모르겠어요."
    assert all(line.startswith("  · ") for line in lines[1:])
    assert len(lines) == 4


def test_one_bad_question_of_many_is_reported_and_the_others_are_answered(
    program: Program, table: Path, model: Path
) -> None:
    arguments = ("chat", table, "--method", "hybrid", "-m", model, "--threshold", "0")
    given = "안녕\n\n\xff\n언제 도착해요?\n".encode().replace("\xff".encode(), b"\xff")
    found = program(*arguments, stdin=given)
    assert found.returncode == 1
    assert found.stdout.decode() == "안녕하세요!\n이틀 걸려요.\n"
    assert (
        found.stderr.decode().splitlines()[-1].startswith("munjang: standard input:3: The query has a lone")
    )
    answers = [json.loads(line) for line in program(*arguments, "--json", stdin=given).stdout.splitlines()]
    assert [answer and answer["answer"] for answer in answers] == ["안녕하세요!", None, "이틀 걸려요."]


def test_questions_piped_in(program: Program, table: Path, model: Path, tmp_path: Path) -> None:
    log = tmp_path / "turns.jsonl"
    found = program(
        "chat", table, "--method", "nearest", "-m", model, "--threshold", "0", "--log", log,
        stdin="안녕\n\n언제 도착해요?\n".encode(),
    )  # fmt: skip
    assert found.stdout.decode() == "안녕하세요!\n이틀 걸려요.\n"
    assert len(log.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing.csv", "--once", "a"), 1, "missing.csv"),
        (("{table}", "--once", "  "), 1, "The question is empty"),
        (("{table}", "--question", "frage", "--once", "a"), 1, "has no column 'frage'; it has Q, A"),
        (("{table}", "--method", "nearest", "--rerank", "{pairs}", "--once", "a"), 1, "no reranking"),
        (("{table}", "--threshold", "7", "--once", "a"), 2, "should be less than or equal to 1"),
        (("{table}", "--threshold", "nan", "--once", "a"), 2, "Invalid value for '--threshold'"),
        (("{table}", "--method", "best", "--once", "a"), 2, "best"),
        (("missing.munjang", "--once", "a"), 1, "missing.munjang"),
        (("faq.munjang", "--model", "x", "--once", "a"), 2, "its own settings"),
    ],
)
def test_bad_calls(
    arguments: tuple[str, ...], code: int, message: str, invoke: Invoke, table: Path, model: Path,
    cross_encoder: Path,
) -> None:  # fmt: skip
    given = [one.format(table=table, pairs=cross_encoder) for one in arguments]
    if "munjang" not in arguments[0]:
        given += ["-m", str(model)]
    found = invoke("chat", *given)
    assert isinstance(found.exception, SystemExit), found.exception
    assert found.exit_code == code
    assert message in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr


def typed(bot: ChatBot, *lines: str) -> None:
    """Type lines into a conversation."""
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("".join(f"{line}\r" for line in lines))
        converse(bot, "qa.csv")


def test_a_conversation(table: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bot = ChatBot.from_file(table, method="nearest", model=str(model), threshold=0)
    typed(bot, "/why", "안녕", "/why", "/top 1", "/top many", "/nonsense", "/new", "/quit", "안녕")
    shown = capsys.readouterr().out
    assert "Nothing was asked yet." in shown
    assert shown.count("안녕하세요!") == 3  # the answer, and two tables
    assert "an answer needs 0%." in shown
    assert "Write a number, for example /top 10." in shown
    assert "There is no /nonsense." in shown
    assert bot.neighbours == 1
    assert bot.log == []


def test_neighbours_are_ordered_by_similarity(capsys: pytest.CaptureFixture[str]) -> None:
    similarities = [0.8, 0.95, math.nan, 0.9]
    show_neighbours(
        [Neighbour(f"question {one}", ("answer",), 1 - place, one) for place, one in enumerate(similarities)]
    )
    rows = [line for line in capsys.readouterr().out.splitlines() if "question " in line and "answer" in line]
    assert [float(row.split("question ")[1].split()[0]) for row in rows[1:4]] == [0.95, 0.9, 0.8]
    assert "nan" in rows[4]
    assert [("→" in row) for row in rows[1:]] == [False, False, True, False]


def test_a_conversation_about_unknown_questions(
    table: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = ChatBot.from_file(table, method="nearest", model=str(model), threshold=1)
    typed(bot, "안녕", "그럼?", "/why", "\x04")
    shown = capsys.readouterr().out
    assert "잘 모르겠어요." in shown
    assert "가까운 질문" in shown
    assert "Searched for: 안녕 그럼?" in shown


@pytest.mark.filterwarnings("ignore::munjang.TruncationWarning")
def test_a_conversation_continues_after_an_invalid_question(
    table: Path, model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bot = ChatBot.from_file(table, model=str(model), index=tmp_path / "qa.munjang", threshold=0)
    # Pasted, as a terminal marks it: a key at a time, the library takes 15 s for so many.
    typed(bot, f"\x1b[200~{'안녕 ' * 8_000}\x1b[201~", "안녕", "/top 20000", "안녕", "/quit")
    shown = capsys.readouterr().out
    assert "23,999 characters" in " ".join(shown.split())
    assert bot.neighbours == 20_000  # or as many as there are
    assert shown.count("안녕하세요!") == 3  # two answers, and a table
