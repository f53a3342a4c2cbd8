"""Fixtures for the tests of sentence models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import transformers

from support.sentences import Trio


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> Iterator[None]:
    """Keep the progress bars of the reference implementation out of the tests' output."""
    transformers.utils.logging.disable_progress_bar()
    yield
    transformers.utils.logging.enable_progress_bar()


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Trio:
    """A random BERT with mean pooling and two prompts; not to be changed."""
    folder = tmp_path_factory.mktemp("bert") / "model"
    return Trio.make(folder, prompts={"query": "question: ", "document": "text: ", "odd": "오늘 "})
