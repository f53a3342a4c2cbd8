"""`munjang tokenize`: JSON in the forms that scripts rely on, and tables that a person can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from munjang import Tokenizer
from support.program import Invoke, printed_json, printed_text
from support.tiny import MAX_TOKENS


def test_tokenize_as_json(invoke: Invoke, model: Path) -> None:
    got = printed_json(invoke("tokenize", "한 글 hi", "--json", "--model", model))
    encoding = Tokenizer.from_pretrained(model).encode_batch(["한 글 hi"])[0]
    assert list(got) == [
        "tokens",
        "input_ids",
        "token_type_ids",
        "attention_mask",
        "offsets",
        "truncated",
    ]
    assert got["tokens"] == ["[CLS]", "한", "글", "h", "##i", "[SEP]"]
    assert got["input_ids"] == encoding.input_ids
    assert got["offsets"] == [[0, 0], [0, 1], [2, 3], [4, 5], [5, 6], [0, 0]]
    assert got["token_type_ids"] == [0] * 6
    assert got["attention_mask"] == [1] * 6
    assert got["truncated"] == 0


def test_tokenize_a_pair(invoke: Invoke, model: Path) -> None:
    got = printed_json(invoke("tokenize", "가", "--pair", "나 다", "--json", "--model", model))
    assert got["tokens"] == ["[CLS]", "가", "[SEP]", "나", "다", "[SEP]"]
    assert got["token_type_ids"] == [0, 0, 0, 1, 1, 1]
    assert got["offsets"] == [[0, 0], [0, 1], [0, 0], [0, 1], [2, 3], [0, 0]]


@pytest.mark.parametrize(("length", "tokens", "cut"), [(7, 7, 0), (4, 4, 1), (5, 5, 0)])
def test_tokenize_to_a_length(invoke: Invoke, model: Path, length: int, tokens: int, cut: int) -> None:
    got = printed_json(invoke("tokenize", "가 나 다", "--pad-to", length, "--json", "--model", model))
    assert len(got["tokens"]) == len(got["input_ids"]) == len(got["offsets"]) == tokens
    assert got["truncated"] == cut
    assert got["attention_mask"] == [1] * min(5, length) + [0] * max(0, length - 5)


def test_tokenize_cuts_at_the_models_length(invoke: Invoke, model: Path) -> None:
    got = printed_json(invoke("tokenize", "가 " * 100, "--json", "--model", model))
    assert len(got["tokens"]) == MAX_TOKENS
    assert got["truncated"] == 102 - MAX_TOKENS


def test_tokenize_each_line_of_standard_input(invoke: Invoke, model: Path) -> None:
    for arguments in ((), ("-",)):
        result = invoke("tokenize", *arguments, "--json", "--model", model, stdin="가 나\n\n다\n")
        tokens = [json.loads(line)["tokens"][1:-1] for line in result.stdout.splitlines()]
        assert tokens == [["가", "나"], [], ["다"]]


def test_tokenize_for_a_reader(invoke: Invoke, model: Path) -> None:
    text = printed_text(invoke("tokenize", "축구 [MASK]\x1b!", "--pad-to", 9, "--model", model))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert lines[0] == ["#", "token", "id", "segment", "mask", "place", "characters"]
    assert lines[1][1:] == ["[CLS]", "2", "0", "1", "", ""]
    assert lines[2][1::4] == ["축", "0-1"]
    assert lines[3][1::4] == ["##구", "1-2"]
    assert lines[4][1:] == ["[MASK]", "4", "0", "1", "3-9", "[MASK]"]
    assert lines[-1][1] == "[PAD]"
    assert "6 tokens, special ones included · 3 of padding · nothing cut off" in " ".join(text.split())
