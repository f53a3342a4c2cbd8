"""`munjang models`: JSON in the forms that scripts rely on, and tables that a person can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import Invoke, printed_json, printed_text


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUNJANG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("MUNJANG_OFFLINE", "1")


@pytest.mark.usefixtures("empty_cache")
def test_models_are_listed(invoke: Invoke) -> None:
    got = printed_json(invoke("models", "--json"))
    assert [model["name"] for model in got] == ["multilingual-e5-small", "all-MiniLM-L6-v2"]
    assert got == printed_json(invoke("models", "list", "--json"))
    assert got[0]["dimension"] == 384
    assert got[0]["licence"] == "MIT"
    text = " ".join(printed_text(invoke("models")).split())
    for word in ("multilingual-e5-small", "384", "MIT", "Apache-2.0"):
        assert word in text


@pytest.mark.usefixtures("empty_cache")
def test_a_model_that_is_missing(invoke: Invoke) -> None:
    for arguments in (("get", "all-MiniLM-L6-v2", "--offline"), ("remove", "multilingual-e5-small")):
        result = invoke("models", *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("munjang: ")


def test_get_says_where_a_model_is(invoke: Invoke, model: Path) -> None:
    assert str(model) in printed_text(invoke("models", "get", model))
    assert printed_json(invoke("models", "get", model, "--json"))["dimension"] == 32
