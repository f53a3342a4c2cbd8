"""`munjang search` and `rerank`: JSON in the forms that scripts rely on, and tables for people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from munjang import CrossEncoder, SentenceTransformer
from munjang.util import semantic_search
from support.program import SENTENCES, Invoke, printed_json, printed_text


def expected_hits(model: Path, query: str, top: int) -> list[tuple[int, float]]:
    encoder = SentenceTransformer(model)
    numbers = [number for number, text in enumerate(SENTENCES) if text]
    documents = encoder.encode_document([SENTENCES[number] for number in numbers])
    hits = semantic_search(encoder.encode_query(query), documents, top_k=top)[0]
    return [(numbers[hit["corpus_id"]], hit["score"]) for hit in hits]


def test_search_as_json(invoke: Invoke, model: Path, sentences: Path) -> None:
    got = printed_json(invoke("search", "축구", "--file", sentences, "--top", 3, "--json", "--model", model))
    hits = expected_hits(model, "축구", 3)
    assert [list(hit) for hit in got] == [["rank", "id", "score", "text"]] * 3
    assert [hit["rank"] for hit in got] == [1, 2, 3]
    assert [hit["id"] for hit in got] == [number for number, _ in hits]
    assert [hit["text"] for hit in got] == [SENTENCES[number] for number, _ in hits]
    assert [hit["score"] for hit in got] == pytest.approx([score for _, score in hits], abs=1e-5)


def test_search_gives_the_rows_own_id(invoke: Invoke, model: Path, table: Path) -> None:
    got = printed_json(invoke("search", "축구", "--file", table, "--json", "--model", model))
    assert [hit["id"] for hit in got] == [f"q-{number}" for number, _ in expected_hits(model, "축구", 5)]


def test_search_for_a_reader(invoke: Invoke, model: Path, table: Path) -> None:
    text = printed_text(invoke("search", "축구 [b]", "--file", table, "--top", 1, "--model", model))
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
    got = printed_json(
        invoke("search", "축구", *arguments, "--json", "--top", 1, "--model", model, stdin=stdin)
    )
    assert got[0]["id"] == expected_hits(model, "축구", 1)[0][0]


def test_search_in_another_encoding(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.tsv"
    path.write_bytes('1\t"가"\n2\t"나\n'.encode("cp949"))
    options = ("--encoding", "cp949", "--no-header", "--no-quoting", "--column", "2", "--model", model)
    got = printed_json(invoke("search", "가", "--file", path, *options, "--json"))
    assert sorted(hit["text"] for hit in got) == ['"가"', '"나']


def test_rerank_as_json(invoke: Invoke, cross_encoder: Path, sentences: Path) -> None:
    got = printed_json(invoke("rerank", "축구", "--file", sentences, "--model", cross_encoder, "--json"))
    some = [(number, text) for number, text in enumerate(SENTENCES) if text]
    scores = CrossEncoder(cross_encoder).predict([("축구", text) for _, text in some])
    order = np.argsort(-scores, kind="stable")
    assert [list(hit) for hit in got] == [["rank", "id", "score", "text"]] * 4
    assert [(hit["id"], hit["text"]) for hit in got] == [some[int(place)] for place in order]
    assert [hit["score"] for hit in got] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


def test_rerank_documents(invoke: Invoke, cross_encoder: Path) -> None:
    documents = ("--document", "가", "-d", "나 다", "-d", "라")
    options = ("--model", cross_encoder, "--top", 2)
    got = printed_json(invoke("rerank", "축구", *documents, *options, "--json"))
    assert len(got) == 2
    assert {hit["text"] for hit in got} < {"가", "나 다", "라"}
    assert got[0]["text"] in printed_text(invoke("rerank", "축구", *documents, *options))
