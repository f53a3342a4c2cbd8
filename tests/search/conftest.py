"""A tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from munjang import SentenceTransformer
from support.tiny import tiny_sentence_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sentence_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def model(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(folder)
