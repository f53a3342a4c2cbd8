"""Tiny models, and the two ways of running a command."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from support.program import Invoke, Program, invoke_here, run_program
from support.tiny import tiny_cross_encoder, tiny_sentence_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "tiny")


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
