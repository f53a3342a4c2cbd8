"""`munjang similarity` and `pairs`: JSON in the forms that scripts rely on, and tables for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from munjang import SentenceTransformer
from munjang.util import cos_sim, paraphrase_mining
from support.program import SENTENCES, Invoke, printed_json, printed_text


def test_similarity_as_json(invoke: Invoke, model: Path) -> None:
    got = printed_json(invoke("similarity", "축구", "공차기", "--json", "--model", model))
    a, b = SentenceTransformer(model).encode(["축구", "공차기"])
    assert list(got) == ["cos_sim"]
    assert got["cos_sim"] == pytest.approx(float(cos_sim(a, b)[0, 0]), abs=1e-6)
    assert got["cos_sim"] == round(got["cos_sim"], 6)


def test_similarity_for_a_reader(invoke: Invoke, model: Path) -> None:
    got = printed_json(invoke("similarity", "축구", "공차기", "--json", "--model", model))
    assert (
        printed_text(invoke("similarity", "축구", "공차기", "--model", model))
        == f"cos_sim {got['cos_sim']:.4f}\n"
    )


def test_similarity_with_a_prompt_and_a_pooling(invoke: Invoke, model: Path) -> None:
    options = ("--prompt-name", "query", "--pooling", "cls+max", "--json", "--model", model)
    got = printed_json(invoke("similarity", "축구", "공차기", *options))
    encoder = SentenceTransformer(model, pooling=("cls", "max"))
    a, b = encoder.encode(["축구", "공차기"], prompt_name="query")
    assert got["cos_sim"] == pytest.approx(float(cos_sim(a, b)[0, 0]), abs=1e-5)


def test_similarity_of_many_with_one(invoke: Invoke, model: Path) -> None:
    lines = "축구\n고양이\n"
    result = invoke("similarity", "-", "공차기", "--json", "--model", model, stdin=lines)
    swapped = invoke("similarity", "공차기", "-", "--json", "--model", model, stdin=lines)
    got = [json.loads(line)["cos_sim"] for line in result.stdout.splitlines()]
    assert (
        got[0] == printed_json(invoke("similarity", "축구", "공차기", "--json", "--model", model))["cos_sim"]
    )
    assert len(got) == 2
    assert swapped.stdout == result.stdout
    assert "고양이" in printed_text(invoke("similarity", "-", "공차기", "--model", model, stdin=lines))


def test_pairs_as_json(invoke: Invoke, model: Path, sentences: Path) -> None:
    got = printed_json(invoke("pairs", sentences, "--top", 2, "--json", "--model", model))
    some = [text for text in SENTENCES if text]
    numbers = [number for number, text in enumerate(SENTENCES) if text]
    expected = paraphrase_mining(SentenceTransformer(model), some)[:2]
    assert [list(pair) for pair in got] == [["i", "j", "score"]] * 2
    assert [(pair["i"], pair["j"]) for pair in got] == [
        (numbers[int(i)], numbers[int(j)]) for _, i, j in expected
    ]
    assert [pair["score"] for pair in got] == pytest.approx([score for score, *_ in expected], abs=1e-5)


def test_pairs_for_a_reader(invoke: Invoke, model: Path, table: Path) -> None:
    text = printed_text(invoke("pairs", table, "--top", 1, "--column", "question", "--model", model))
    found = printed_json(
        invoke("pairs", table, "--top", 1, "--column", "question", "--json", "--model", model)
    )
    assert SENTENCES[found[0]["i"]] in text
    assert SENTENCES[found[0]["j"]] in text


def test_pairs_of_standard_input(invoke: Invoke, model: Path) -> None:
    assert printed_json(invoke("pairs", "--json", "--model", model, stdin="가\n나\n"))[0]["i"] == 0
    assert printed_json(invoke("pairs", "-", "--json", "--model", model, stdin="하나\n")) == []
