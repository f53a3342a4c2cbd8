"""`munjang encode`: JSON in the forms that scripts rely on, and tables that a person can read."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from munjang import SentenceTransformer
from munjang.bulk.encoding import BulkEncoding, BulkOptions
from munjang.data.files import DataFile
from support.program import SENTENCES, Invoke, printed_json, printed_text


def test_encode_as_json(invoke: Invoke, model: Path) -> None:
    got = printed_json(invoke("encode", "가", "나 다", "--json", "--model", model))
    expected = SentenceTransformer(model).encode(["가", "나 다"])
    np.testing.assert_array_equal(np.array(got, dtype=np.float32), expected)


@pytest.mark.parametrize("arguments", [(), ("-",), ("--file", "-")])
def test_encode_standard_input(invoke: Invoke, model: Path, arguments: tuple[str, ...]) -> None:
    got = printed_json(invoke("encode", *arguments, "--json", "--model", model, stdin="가\n나 다\n"))
    assert got == printed_json(invoke("encode", "가", "나 다", "--json", "--model", model))


def test_encode_with_options(invoke: Invoke, model: Path) -> None:
    options = ("--prompt", "것: ", "--normalize", "--truncate-dim", 7, "--pooling", "max")
    got = printed_json(invoke("encode", "가", *options, "--json", "--model", model))
    encoder = SentenceTransformer(model, pooling="max")
    expected = encoder.encode(["가"], prompt="것: ", normalize_embeddings=True, truncate_dim=7)
    np.testing.assert_allclose(got, expected, atol=1e-7)
    assert math.hypot(*got[0]) == pytest.approx(1, abs=1e-6)
    small = printed_json(invoke("encode", "가", "나", "--precision", "binary", "--json", "--model", model))
    assert np.array(small).shape == (2, 4)
    assert all(isinstance(number, int) for number in small[0])


def test_encode_for_a_reader(invoke: Invoke, model: Path) -> None:
    text = printed_text(invoke("encode", "가 나", "--model", model))
    assert "가 나" in text
    assert "32 numbers each" in text


def test_encode_a_file_to_a_file(invoke: Invoke, model: Path, table: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.npy"
    arguments = ("encode", "--file", table, "--output", output, "--column", "question", "--model", model)
    assert printed_text(invoke(*arguments)) == f"{output}: 5 vectors of 32 numbers\n"
    np.testing.assert_allclose(np.load(output), SentenceTransformer(model).encode(SENTENCES), atol=1e-6)
    assert printed_json(invoke(*arguments, "--json")) == {"output": str(output), "rows": 5, "dimension": 32}


def test_encode_standard_input_to_a_file(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    result = invoke("encode", "--output", output, "--model", model, stdin="가\n나 다\n")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["text"]) for row in rows] == [(0, "가"), (1, "나 다")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl"]


def test_options_of_an_unfinished_run(invoke: Invoke, model: Path, table: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.npy"
    source, options = DataFile(path=str(table), column="question"), BulkOptions(normalize=False)
    with BulkEncoding(source, output, options) as work:
        work.start(SentenceTransformer(model), str(model))
        work.run(lambda _: None)
    arguments = ("encode", "--file", table, "--output", output, "--column", "question", "--model", model)
    result = invoke(*arguments, "--truncate-dim", 4)
    assert result.exit_code == 1
    assert "was begun with vectors cut to all components, now to 4." in result.stderr
    assert "or pass --restart to start again." in result.stderr
    assert "was begun with normalization off, now on." in invoke(*arguments, "--normalize").stderr


def test_ids_matter_where_they_are_written(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "가"}\n{"text": "나", "id": 5}\n', encoding="utf-8")
    arguments = ("encode", "--file", path, "--model", model)
    for output in ((), ("--output", tmp_path / "out.npy")):
        assert invoke(*arguments, *output).exit_code == 0
    result = invoke(*arguments, "--output", tmp_path / "out.jsonl")
    assert result.exit_code == 1
    assert "line 2: this row has an 'id', but the first row has none." in result.stderr
