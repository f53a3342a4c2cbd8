"""What several tests of sentences share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import transformers

from support.sentences import Trio


@pytest.fixture(scope="session", autouse=True)
def _quiet_and_small() -> Iterator[None]:
    """Keep the reference from drawing bars, and from threads that cost more than such small models."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    yield
    transformers.utils.logging.enable_progress_bar()
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Trio:
    """A random BERT with mean pooling and two prompts; not to be changed."""
    folder = tmp_path_factory.mktemp("bert") / "model"
    return Trio.make(folder, prompts={"query": "question: ", "document": "text: ", "odd": "오늘 "})
