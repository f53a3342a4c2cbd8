"""What each command prints: JSON in the forms that scripts rely on, and tables that a person can read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang import CrossEncoder, SentenceTransformer, Tokenizer
from munjang.util import cos_sim, paraphrase_mining, semantic_search
from support.program import Invoke
from support.tiny import MAX_TOKENS

SENTENCES = ["축구가 재미있어요.", "I like football.", "", "공차기가 재미있어요!", "Where is my cat?"]


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text("".join(f"{text}\n" for text in SENTENCES), encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "faq.csv"
    rows = [f'q-{number},"{text}",short {number},{"긴 대답. " * 60}' for number, text in enumerate(SENTENCES)]
    path.write_text("\n".join(["id,question,answer,essay", *rows]), encoding="utf-8")
    return path


def read(result: Any) -> Any:
    """The JSON that a command printed, on one line and with nothing beside it."""
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def shown(result: Any) -> str:
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout  # no colours where nobody looks
    return str(result.stdout)


# tokenize


def test_tokenize_as_json(invoke: Invoke, model: Path) -> None:
    got = read(invoke("tokenize", "한 글 hi", "--json", "--model", model))
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
    got = read(invoke("tokenize", "가", "--pair", "나 다", "--json", "--model", model))
    assert got["tokens"] == ["[CLS]", "가", "[SEP]", "나", "다", "[SEP]"]
    assert got["token_type_ids"] == [0, 0, 0, 1, 1, 1]
    assert got["offsets"] == [[0, 0], [0, 1], [0, 0], [0, 1], [2, 3], [0, 0]]


@pytest.mark.parametrize(("length", "tokens", "cut"), [(7, 7, 0), (4, 4, 1), (5, 5, 0)])
def test_tokenize_to_a_length(invoke: Invoke, model: Path, length: int, tokens: int, cut: int) -> None:
    got = read(invoke("tokenize", "가 나 다", "--pad-to", length, "--json", "--model", model))
    assert len(got["tokens"]) == len(got["input_ids"]) == len(got["offsets"]) == tokens
    assert got["truncated"] == cut
    assert got["attention_mask"] == [1] * min(5, length) + [0] * max(0, length - 5)


def test_tokenize_cuts_at_the_models_length(invoke: Invoke, model: Path) -> None:
    got = read(invoke("tokenize", "가 " * 100, "--json", "--model", model))
    assert len(got["tokens"]) == MAX_TOKENS
    assert got["truncated"] == 102 - MAX_TOKENS


def test_tokenize_each_line_of_standard_input(invoke: Invoke, model: Path) -> None:
    for arguments in ((), ("-",)):
        result = invoke("tokenize", *arguments, "--json", "--model", model, stdin="가 나\n\n다\n")
        tokens = [json.loads(line)["tokens"][1:-1] for line in result.stdout.splitlines()]
        assert tokens == [["가", "나"], [], ["다"]]


def test_tokenize_for_a_reader(invoke: Invoke, model: Path) -> None:
    text = shown(invoke("tokenize", "축구 [MASK]\x1b!", "--pad-to", 9, "--model", model))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert lines[0] == ["#", "token", "id", "segment", "mask", "place", "characters"]
    assert lines[1][1:] == ["[CLS]", "2", "0", "1", "", ""]
    assert lines[2][1::4] == ["축", "0-1"]
    assert lines[3][1::4] == ["##구", "1-2"]
    assert lines[4][1:] == ["[MASK]", "4", "0", "1", "3-9", "[MASK]"]
    assert lines[-1][1] == "[PAD]"
    assert "6 tokens, special ones included · 3 of padding · nothing cut off" in " ".join(text.split())


# similarity


def test_similarity_as_json(invoke: Invoke, model: Path) -> None:
    got = read(invoke("similarity", "축구", "공차기", "--json", "--model", model))
    a, b = SentenceTransformer(model).encode(["축구", "공차기"])
    assert list(got) == ["cos_sim"]
    assert got["cos_sim"] == pytest.approx(float(cos_sim(a, b)[0, 0]), abs=1e-6)
    assert got["cos_sim"] == round(got["cos_sim"], 6)


def test_similarity_for_a_reader(invoke: Invoke, model: Path) -> None:
    got = read(invoke("similarity", "축구", "공차기", "--json", "--model", model))
    assert (
        shown(invoke("similarity", "축구", "공차기", "--model", model)) == f"cos_sim {got['cos_sim']:.4f}\n"
    )


def test_similarity_with_a_prompt_and_a_pooling(invoke: Invoke, model: Path) -> None:
    options = ("--prompt-name", "query", "--pooling", "cls+max", "--json", "--model", model)
    got = read(invoke("similarity", "축구", "공차기", *options))
    encoder = SentenceTransformer(model, pooling=("cls", "max"))
    a, b = encoder.encode(["축구", "공차기"], prompt_name="query")
    assert got["cos_sim"] == pytest.approx(float(cos_sim(a, b)[0, 0]), abs=1e-5)


def test_similarity_of_many_with_one(invoke: Invoke, model: Path) -> None:
    lines = "축구\n고양이\n"
    result = invoke("similarity", "-", "공차기", "--json", "--model", model, stdin=lines)
    swapped = invoke("similarity", "공차기", "-", "--json", "--model", model, stdin=lines)
    got = [json.loads(line)["cos_sim"] for line in result.stdout.splitlines()]
    assert got[0] == read(invoke("similarity", "축구", "공차기", "--json", "--model", model))["cos_sim"]
    assert len(got) == 2
    assert swapped.stdout == result.stdout
    assert "고양이" in shown(invoke("similarity", "-", "공차기", "--model", model, stdin=lines))


# pairs


def test_pairs_as_json(invoke: Invoke, model: Path, sentences: Path) -> None:
    got = read(invoke("pairs", sentences, "--top", 2, "--json", "--model", model))
    some = [text for text in SENTENCES if text]
    numbers = [number for number, text in enumerate(SENTENCES) if text]
    expected = paraphrase_mining(SentenceTransformer(model), some)[:2]
    assert [list(pair) for pair in got] == [["i", "j", "score"]] * 2
    assert [(pair["i"], pair["j"]) for pair in got] == [
        (numbers[int(i)], numbers[int(j)]) for _, i, j in expected
    ]
    assert [pair["score"] for pair in got] == pytest.approx([score for score, *_ in expected], abs=1e-5)


def test_pairs_for_a_reader(invoke: Invoke, model: Path, table: Path) -> None:
    text = shown(invoke("pairs", table, "--top", 1, "--column", "question", "--model", model))
    found = read(invoke("pairs", table, "--top", 1, "--column", "question", "--json", "--model", model))
    assert SENTENCES[found[0]["i"]] in text
    assert SENTENCES[found[0]["j"]] in text


def test_pairs_of_standard_input(invoke: Invoke, model: Path) -> None:
    assert read(invoke("pairs", "--json", "--model", model, stdin="가\n나\n"))[0]["i"] == 0
    assert read(invoke("pairs", "-", "--json", "--model", model, stdin="하나\n")) == []


# search and rerank


def expected_hits(model: Path, query: str, top: int) -> list[tuple[int, float]]:
    encoder = SentenceTransformer(model)
    numbers = [number for number, text in enumerate(SENTENCES) if text]
    documents = encoder.encode_document([SENTENCES[number] for number in numbers])
    hits = semantic_search(encoder.encode_query(query), documents, top_k=top)[0]
    return [(numbers[hit["corpus_id"]], hit["score"]) for hit in hits]


def test_search_as_json(invoke: Invoke, model: Path, sentences: Path) -> None:
    got = read(invoke("search", "축구", "--file", sentences, "--top", 3, "--json", "--model", model))
    hits = expected_hits(model, "축구", 3)
    assert [list(hit) for hit in got] == [["rank", "id", "score", "text"]] * 3
    assert [hit["rank"] for hit in got] == [1, 2, 3]
    assert [hit["id"] for hit in got] == [number for number, _ in hits]
    assert [hit["text"] for hit in got] == [SENTENCES[number] for number, _ in hits]
    assert [hit["score"] for hit in got] == pytest.approx([score for _, score in hits], abs=1e-5)


def test_search_gives_the_rows_own_id(invoke: Invoke, model: Path, table: Path) -> None:
    got = read(invoke("search", "축구", "--file", table, "--json", "--model", model))
    assert [hit["id"] for hit in got] == [f"q-{number}" for number, _ in expected_hits(model, "축구", 5)]


def test_search_for_a_reader(invoke: Invoke, model: Path, table: Path) -> None:
    text = shown(invoke("search", "축구 [b]", "--file", table, "--top", 1, "--model", model))
    number, score = expected_hits(model, "축구 [b]", 1)[0]
    assert text.startswith("축구 [b]")
    assert "question" in text
    assert f"{score:.4f}" in text
    assert f"answer: short {number}" in text
    assert "긴 대답" not in text  # too long for a table
    assert {len(line) for line in text.splitlines() if line.isascii()} <= {100}


def test_search_each_line_of_standard_input(invoke: Invoke, model: Path, sentences: Path) -> None:
    result = invoke("search", "-", "-f", sentences, "-k", 1, "--json", "--model", model, stdin="축구\ncat\n")
    got = [json.loads(line) for line in result.stdout.splitlines()]
    assert [hits[0]["id"] for hits in got] == [
        expected_hits(model, query, 1)[0][0] for query in ("축구", "cat")
    ]


def test_an_empty_query_finds_nothing(
    invoke: Invoke, model: Path, cross_encoder: Path, sentences: Path
) -> None:
    for arguments in (("search", " ", "-m", model), ("rerank", "", "-m", cross_encoder)):
        result = invoke(*arguments, "--file", sentences)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "munjang: The query is empty; write what to look for.\n"
    result = invoke(
        "search", "-", "-f", sentences, "-k", 1, "--json", "--model", model, stdin="축구\n\ncat\n"
    )
    assert [len(json.loads(line)) for line in result.stdout.splitlines()] == [1, 0, 1]


@pytest.mark.parametrize("arguments", [(), ("--file", "-")])
def test_search_in_standard_input(invoke: Invoke, model: Path, arguments: tuple[str, ...]) -> None:
    stdin = "\n".join(SENTENCES)
    got = read(invoke("search", "축구", *arguments, "--json", "--top", 1, "--model", model, stdin=stdin))
    assert got[0]["id"] == expected_hits(model, "축구", 1)[0][0]


def test_search_in_another_encoding(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.tsv"
    path.write_bytes('1\t"가"\n2\t"나\n'.encode("cp949"))
    options = ("--encoding", "cp949", "--no-header", "--no-quoting", "--column", "2", "--model", model)
    got = read(invoke("search", "가", "--file", path, *options, "--json"))
    assert sorted(hit["text"] for hit in got) == ['"가"', '"나']


def test_rerank_as_json(invoke: Invoke, cross_encoder: Path, sentences: Path) -> None:
    got = read(invoke("rerank", "축구", "--file", sentences, "--model", cross_encoder, "--json"))
    some = [(number, text) for number, text in enumerate(SENTENCES) if text]
    scores = CrossEncoder(cross_encoder).predict([("축구", text) for _, text in some])
    order = np.argsort(-scores, kind="stable")
    assert [list(hit) for hit in got] == [["rank", "id", "score", "text"]] * 4
    assert [(hit["id"], hit["text"]) for hit in got] == [some[int(place)] for place in order]
    assert [hit["score"] for hit in got] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


def test_rerank_documents(invoke: Invoke, cross_encoder: Path) -> None:
    documents = ("--document", "가", "-d", "나 다", "-d", "라")
    options = ("--model", cross_encoder, "--top", 2)
    got = read(invoke("rerank", "축구", *documents, *options, "--json"))
    assert len(got) == 2
    assert {hit["text"] for hit in got} < {"가", "나 다", "라"}
    assert got[0]["text"] in shown(invoke("rerank", "축구", *documents, *options))


# encode


def test_encode_as_json(invoke: Invoke, model: Path) -> None:
    got = read(invoke("encode", "가", "나 다", "--json", "--model", model))
    expected = SentenceTransformer(model).encode(["가", "나 다"])
    np.testing.assert_array_equal(np.array(got, dtype=np.float32), expected)


@pytest.mark.parametrize("arguments", [(), ("-",), ("--file", "-")])
def test_encode_standard_input(invoke: Invoke, model: Path, arguments: tuple[str, ...]) -> None:
    got = read(invoke("encode", *arguments, "--json", "--model", model, stdin="가\n나 다\n"))
    assert got == read(invoke("encode", "가", "나 다", "--json", "--model", model))


def test_encode_with_options(invoke: Invoke, model: Path) -> None:
    options = ("--prompt", "것: ", "--normalize", "--truncate-dim", 7, "--pooling", "max")
    got = read(invoke("encode", "가", *options, "--json", "--model", model))
    encoder = SentenceTransformer(model, pooling="max")
    expected = encoder.encode(["가"], prompt="것: ", normalize_embeddings=True, truncate_dim=7)
    np.testing.assert_allclose(got, expected, atol=1e-7)
    assert math.hypot(*got[0]) == pytest.approx(1, abs=1e-6)
    small = read(invoke("encode", "가", "나", "--precision", "binary", "--json", "--model", model))
    assert np.array(small).shape == (2, 4)
    assert all(isinstance(number, int) for number in small[0])


def test_encode_for_a_reader(invoke: Invoke, model: Path) -> None:
    text = shown(invoke("encode", "가 나", "--model", model))
    assert "가 나" in text
    assert "32 numbers each" in text


def test_encode_a_file_to_a_file(invoke: Invoke, model: Path, table: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.npy"
    arguments = ("encode", "--file", table, "--output", output, "--column", "question", "--model", model)
    assert shown(invoke(*arguments)) == f"{output}: 5 vectors of 32 numbers\n"
    np.testing.assert_allclose(np.load(output), SentenceTransformer(model).encode(SENTENCES), atol=1e-6)
    assert read(invoke(*arguments, "--json")) == {"output": str(output), "rows": 5, "dimension": 32}


def test_encode_standard_input_to_a_file(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    result = invoke("encode", "--output", output, "--model", model, stdin="가\n나 다\n")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["text"]) for row in rows] == [(0, "가"), (1, "나 다")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl"]


# models


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUNJANG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("MUNJANG_OFFLINE", "1")


@pytest.mark.usefixtures("empty_cache")
def test_models_are_listed(invoke: Invoke) -> None:
    got = read(invoke("models", "--json"))
    assert [model["name"] for model in got] == ["multilingual-e5-small", "all-MiniLM-L6-v2"]
    assert got == read(invoke("models", "list", "--json"))
    assert got[0]["dimension"] == 384
    assert got[0]["licence"] == "MIT"
    text = " ".join(shown(invoke("models")).split())
    for word in ("multilingual-e5-small", "384", "MIT", "Apache-2.0"):
        assert word in text


@pytest.mark.usefixtures("empty_cache")
def test_a_model_that_is_not_here(invoke: Invoke) -> None:
    for arguments in (("get", "all-MiniLM-L6-v2", "--offline"), ("remove", "multilingual-e5-small")):
        result = invoke("models", *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("munjang: ")


def test_get_says_where_a_model_is(invoke: Invoke, model: Path) -> None:
    assert str(model) in shown(invoke("models", "get", model))
    assert read(invoke("models", "get", model, "--json"))["dimension"] == 32
