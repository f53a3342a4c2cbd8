"""Mistakes of users: one clear line on standard error, no traceback, no partial output."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.program import Invoke
from support.tiny import tiny_sentence_model

Changed = Callable[[Path], object]


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUNJANG_CACHE", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("MUNJANG_OFFLINE", "1")


def the_line(result: Any) -> str:
    """Return the only line of an error; check that standard output is empty."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("munjang: ")
    assert result.stderr.count("\n") == 1
    return str(result.stderr)


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text("가\n나\n", encoding="utf-8")
    return path


# Files


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "has no rows: it is empty"),
        ("a.txt", b" \n\t\n", "holds no text in any row"),
        ("a.txt", "가나다".encode("cp949"), "it looks like CP949: save it as UTF-8 or pass --encoding cp949"),
        ("a.txt", b"a\0b", "line 1: a NUL character"),
        ("a.csv", b"Q,A\n1,2\n", "has the columns Q, A; say which holds the texts: --column NAME"),
        ("a.csv", b"text,n\n1,2\n3\n", "line 3: 1 field instead of 2"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 3}\n', "line 2: 'text' is a number, not a text"),
        ("a.jsonl", b'{"text": "\\udc00"}\n', "line 1: 'text' holds half a surrogate pair"),
        ("a.jsonl", b"{\n", "line 1: not JSON"),
        ("a.parquet", b"nothing", "as parquet"),
        ("a.pdf", b"%PDF", "can't be read as it is"),
    ],
)
@pytest.mark.parametrize("command", ["search", "encode"])
def test_a_broken_file(
    invoke: Invoke, model: Path, tmp_path: Path, command: str, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if command == "search":
        line = the_line(invoke("search", "축구", "--file", path, "--model", model))
    elif "no text in any row" in message:
        return  # rows of white space are encoded like any other
    else:
        line = the_line(invoke("encode", "--file", path, "--output", tmp_path / "out.npy", "--model", model))
    assert message in line
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_missing_file_and_a_folder(invoke: Invoke, tmp_path: Path) -> None:
    assert "There is no file" in the_line(invoke("pairs", tmp_path / "nowhere.txt"))
    assert "is a folder" in the_line(invoke("search", "축구", "--file", tmp_path))


def test_a_missing_column(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Q,A\n가,나\n", encoding="utf-8")
    line = the_line(invoke("search", "축구", "--file", path, "--column", "question"))
    assert "has no column 'question'; it has Q, A" in line


def test_unusable_output_folders(invoke: Invoke, sentences: Path, tmp_path: Path) -> None:
    for output, message in (("out.txt", "must end in"), ("no/out.npy", "There is no folder")):
        assert message in the_line(invoke("encode", "--file", sentences, "--output", tmp_path / output))


# Texts


@pytest.mark.parametrize(
    "text",
    ["", "   \n ", "가 나 " * 700_000, "e" + "\u0301" * 10_000, unicodedata.normalize("NFD", "한글"), "👍🏽‍"],
    ids=["empty", "spaces", "5 MB", "combining", "NFD", "emoji"],
)
def test_odd_texts_have_vectors(invoke: Invoke, model: Path, text: str) -> None:
    result = invoke("encode", text, "--json", "--model", model)
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)[0]) == 32
    warned = result.stderr.splitlines()
    assert all(line.startswith("munjang: 1 of 1 texts were longer") for line in warned)
    assert len(warned) == (len(text) > 1_000_000)


def test_nfd_is_nfc(invoke: Invoke, model: Path) -> None:
    one, other = (unicodedata.normalize(form, "한글 문장") for form in ("NFC", "NFD"))
    got = [invoke("encode", text, "--json", "--model", model).stdout for text in (one, other)]
    assert got[0] == got[1]


def test_a_lone_surrogate(invoke: Invoke, model: Path) -> None:
    assert "surrogate" in the_line(invoke("encode", "가\ud800", "--model", model))
    assert "surrogate" in the_line(invoke("tokenize", "가\udcff", "--model", model))


def test_nul_is_a_character_like_others(invoke: Invoke, model: Path) -> None:
    result = invoke("tokenize", "가\0나", "--model", model)
    assert result.exit_code == 0
    assert "\0" not in result.stdout


# Models


def test_an_unknown_model(invoke: Invoke) -> None:
    line = the_line(invoke("similarity", "가", "나", "--model", "./nowhere"))
    assert "Model './nowhere' was not found" in line
    line = the_line(invoke("similarity", "가", "나", "--model", "klue/bert-bse"))
    assert "klue/bert-bse" in line


def test_a_model_that_is_not_in_the_cache(invoke: Invoke) -> None:
    assert "multilingual-e5-small" in the_line(invoke("encode", "가", "--offline"))


def test_a_sentence_model_is_no_cross_encoder(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    the_line(invoke("rerank", "가", "--document", "나", "--model", model))


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def change_config(**changes: object) -> Changed:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def to_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), ""),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "vocab.txt").unlink(), ""),
        (truncate, "model.safetensors"),
        (to_pickle, "pytorch_model.bin"),
        (change_config(hidden_size=64), ""),
        (change_config(num_hidden_layers=9), "encoder.layer"),
        (change_config(position_embedding_type="relative_key"), "relative_key"),
        (change_config(model_type="t5"), "t5"),
    ],
    ids=[
        "no weights",
        "config",
        "no tokenizer",
        "truncated",
        "pickle",
        "shapes",
        "missing",
        "relative",
        "type",
    ],
)
def test_a_broken_model(
    invoke: Invoke, tmp_path: Path, sentences: Path, change: Changed, message: str
) -> None:
    folder = tiny_sentence_model(tmp_path / "broken")
    change(folder)
    output = tmp_path / "out.npy"
    line = the_line(invoke("encode", "--file", sentences, "--output", output, "--model", folder))
    assert message in line
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broken", "sentences.txt"]


# Options


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "가", "--top", "0", "--file", "x.txt"),
        ("search", "-", "--file", "-"),
        ("similarity", "-", "-"),
        ("similarity", "가"),
        ("encode", "가", "--output", "out.npy"),
        ("encode", "가", "--file", "x.txt"),
        ("encode", "가", "--precision", "int4"),
        ("encode", "가", "--truncate-dim", "0"),
        ("encode", "가", "--batch-size", "0"),
        ("rerank", "가", "--document", "나"),
        ("rerank", "가", "--document", "나", "--file", "x.txt", "--model", "m"),
        ("tokenize", "가", "--pad-to", "0"),
        ("poem",),
    ],
)
def test_invalid_options(invoke: Invoke, arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert "Usage: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("encode", "가", "--prompt-name", "poem"), "no prompt named 'poem'"),
        (("encode", "가", "--pooling", "median"), "Unknown pooling 'median'"),
        (("encode", "가", "--precision", "int8"), "--precision int8 needs the range"),
        (("tokenize", "가", "--pad-to", "1"), "no room"),
        (("similarity", "가", "-"), "empty"),
    ],
)
def test_values_that_the_library_refuses(
    invoke: Invoke, model: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert message in the_line(invoke(*arguments, "--model", model))


def test_a_warning_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    folder = tiny_sentence_model(tmp_path / "plain")
    (folder / "modules.json").unlink()
    result = invoke("similarity", "가", "나 " * 100, "--json", "--model", folder)
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"munjang: '{folder}' does not say how to pool")
    assert lines[1].startswith("munjang: 1 of 2 texts were longer than")


def test_log_messages_of_the_library_are_one_line(invoke: Invoke, model: Path) -> None:
    result = invoke("encode", "가", "나", "--precision", "int8", "--json", "--model", model)
    assert result.exit_code == 0
    assert result.stderr.startswith("munjang: The ranges for quantization are computed from only 2 vectors")
    assert result.stderr.count("\n") == 1
