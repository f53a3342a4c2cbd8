"""Tiny models, and the two ways of running a command."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from support.program import SENTENCES, Invoke, Program, invoke_here, run_program
from support.tiny import tiny_cross_encoder, tiny_sentence_model
from support.wordpiece import bert_with_words


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "bert"
    folder.mkdir()
    bert_with_words(folder, num_hidden_layers=4)
    return folder


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cross_encoder(tmp_path_factory.mktemp("models") / "pairs")


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.setenv("COLUMNS", "100")
    return invoke_here


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return partial(run_program, tmp_path)


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
