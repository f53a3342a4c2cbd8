"""`munjang fill-mask` and `next-sentence`: the forms that scripts rely on, tables, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from munjang.tasks.fill_mask.fill_mask import FillMask
from munjang.tasks.next_sentence import NextSentencePrediction
from support.program import invoke_here as run
from support.program import json_lines as lines

SOCCER = "축구는 정말 재미있는 [MASK]다."


def test_fill_mask(bert: Path) -> None:
    (found,) = lines("fill-mask", SOCCER, "--top", 5, "-m", bert)
    expected = FillMask(bert)(SOCCER)
    assert len(found) == 5
    for one, other in zip(found, expected, strict=True):
        assert list(one) == ["score", "token", "token_str", "sequence"]
        assert one["score"] == pytest.approx(other["score"], rel=1e-5)
        assert [one[key] for key in ("token", "token_str", "sequence")] == [
            other["token"],
            other["token_str"],
            other["sequence"],
        ]


def test_fill_mask_of_lines_and_targets(bert: Path) -> None:
    two = "나는 [MASK]에 [MASK] 했다."
    first, second = lines("fill-mask", "-m", bert, "-k", 2, stdin=f"{SOCCER}\n{two}\n")
    assert [list(one) for one in first] == [["score", "token", "token_str", "sequence"]] * 2
    assert [list(one) for one in second] == [["score", "tokens", "token_strs", "scores", "sequence"]] * 2
    (found,) = lines("fill-mask", SOCCER, "-m", bert, "--target", "스포츠", "-t", "한국사람")
    assert {one["token_str"]: one["sequence"] for one in found} == {
        "스포츠": "축구는 정말 재미있는 스포츠다.",
        "한국사람": "축구는 정말 재미있는 한국사람다.",
    }


def test_one_bad_line_of_many_is_reported_and_the_others_are_answered(bert: Path) -> None:
    given = f"no mask here\n{SOCCER}\n{SOCCER}\n\n"
    result = run("fill-mask", "-", "--json", "-m", bert, stdin=given)
    assert result.exit_code == 1
    first, second, third, fourth = map(json.loads, result.stdout.splitlines())
    assert first is fourth is None
    assert second == third
    assert len(second) == 5
    errors = result.stderr.splitlines()
    assert [line.split(": ")[1] for line in errors] == ["standard input:1", "standard input:4"]
    assert "The text has no [MASK]" in errors[0]
    shown = run("fill-mask", "-m", bert, stdin=given)
    assert (shown.exit_code, shown.stderr) == (1, result.stderr)
    assert shown.stdout.count("never offered") == 2


@pytest.mark.parametrize("command", [("next-sentence", "the sky is blue", "-"), ("tokenize", "-")])
def test_answers_are_in_the_order_of_the_lines(bert: Path, command: tuple[str, ...]) -> None:
    result = run(*command, "--json", "-m", bert, stdin="i love paris!\n\nsoccer is fun\n")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    refuses = command[0] == "next-sentence"
    assert [one is None for one in found] == [False, refuses, False]
    assert result.exit_code == int(refuses)
    assert ("standard input:2: The second sentence is empty" in result.stderr) == refuses


def test_next_sentence(bert: Path) -> None:
    (found,) = lines("next-sentence", "the sky is blue.", "i love paris!", "-m", bert)
    assert list(found) == ["label", "follows", "unrelated"]
    expected = NextSentencePrediction(bert)("the sky is blue.", "i love paris!")
    assert found["label"] == expected["label"]
    assert found["follows"] == pytest.approx(expected["follows"], rel=1e-5)
    both = lines("next-sentence", "the sky is blue.", "-", "-m", bert, stdin="i love paris!\nsoccer is fun\n")
    assert len(both) == 2
    assert both[0] == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["fill-mask", SOCCER, "-t", "스포츠"], ["스포츠다.", "never offered"]),
        (["fill-mask", "[MASK] [MASK]", "-k", "1"], [" + "]),
        (["next-sentence", "the sky is blue", "i love paris"], ["follows", "the sky is blue"]),
    ],
)
def test_tables(bert: Path, arguments: list[str], shown: list[str]) -> None:
    result = run(*arguments, "-m", bert)
    assert result.exit_code == 0, result.output
    for part in shown:
        assert part in result.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["fill-mask", "축구는 재미있다."], "The text has no [MASK]; write it where a word is missing"),
        (
            ["fill-mask", "축구는 <mask>다."],
            "has <mask>, which is another model's mask; this one's is [MASK].",
        ),
        (["fill-mask", SOCCER, "-t", "qqq"], "can't write the targets 'qqq'"),
        (["next-sentence", "the sky", " "], "The second sentence is empty"),
    ],
)
def test_invalid_calls_have_errors_of_one_line(bert: Path, arguments: list[str], line: str) -> None:
    result = run(*arguments, "-m", bert)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["fill-mask", SOCCER, "--top", "0"],
        ["next-sentence", "-", "-"],
    ],
)
def test_options_that_do_not_apply(bert: Path, arguments: list[str]) -> None:
    assert run(*arguments, "-m", bert).exit_code == 2


def test_a_long_pair_has_a_truncation_warning(bert: Path) -> None:
    result = run("next-sentence", "soccer is fun " * 20, "the sky", "-m", bert, "--json")
    assert result.exit_code == 0
    assert list(json.loads(result.stdout)) == ["label", "follows", "unrelated"]
    assert result.stderr.startswith("munjang: 1 of 1 pairs were longer than 40 tokens")
