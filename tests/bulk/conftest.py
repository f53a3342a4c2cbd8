"""Files to encode, a tiny model, and interrupted runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from munjang import SentenceTransformer
from munjang.bulk.encoding import BulkOptions
from support.bulk import ROWS, StopError, make, text
from support.tiny import tiny_folder_fixture, tiny_model_fixture  # noqa: F401 - fixtures for this folder


@pytest.fixture(scope="session")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "long.jsonl"
    lines = (json.dumps({"id": f"n{number}", "text": text(number)}) for number in range(ROWS))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def short_file(tmp_path: Path) -> Path:
    path = tmp_path / "short.txt"
    path.write_text("".join(f"{text(number)}\n" for number in range(1, 60)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def whole(model: SentenceTransformer, long_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished vectors of the long file."""
    output = tmp_path_factory.mktemp("whole") / "whole.npy"
    make(model, long_file, output)
    return output


@pytest.fixture(scope="session")
def stopped_once(
    model: SentenceTransformer, long_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("stopped") / "stopped.npy"
    with pytest.raises(StopError):
        make(model, long_file, output, BulkOptions(prompt_name="document"), stop_after=5000)
    return output.parent


@pytest.fixture
def stopped(stopped_once: Path, tmp_path: Path) -> Path:
    """The output of a run that was stopped."""
    shutil.copytree(stopped_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "stopped.npy"
