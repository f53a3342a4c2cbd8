"""Files of a model that are of another kind (pipes, devices) or far too large."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
import torch

from checkpoints.small_models import model_files
from munjang.checkpoints import Checkpoint
from munjang.checkpoints.files import JSON_LIMIT, read_json, read_limited
from munjang.errors import CheckpointError


def test_a_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(CheckpointError, match=r"vocab\.txt' has 5 bytes, .* at most 4"):
        read_limited(path, 4)


def test_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse; reading it would run out of memory
    with pytest.raises(CheckpointError, match=f"at most {JSON_LIMIT:,}"):
        read_json(path)


def test_other_kinds_of_files_are_refused_at_once(tmp_path: Path) -> None:
    fifo, folder, link = tmp_path / "fifo", tmp_path / "folder", tmp_path / "link"
    os.mkfifo(fifo)
    folder.mkdir()
    link.symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path, kind in [
            (fifo, "fifo"),
            (folder, "folder"),
            (link, "device"),
            (tmp_path / "socket", "socket"),
        ]:
            with pytest.raises(CheckpointError, match=f"{path.name}' is a {kind}, not a regular file"):
                read_limited(path, 100)


def test_an_endless_file_of_no_size_is_read_only_to_the_limit() -> None:
    with pytest.raises(CheckpointError, match="at most 4"):
        read_limited(Path("/proc/self/status"), 4)  # its size is given as 0


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "missing", "file/below"])
def test_invalid_file_names(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError):
        read_limited(tmp_path / name, 100)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a"', "NaN\x00"])
def test_invalid_json(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_json(path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in model_files(tmp_path / "source").items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", ["modules.json", "tokenizer.json", "config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["fifo", "device", "broken link"])
def test_a_special_file_is_not_treated_as_missing(kind: str, name: str, model: Path) -> None:
    """Without its ``modules.json`` a model would open and encode otherwise."""
    path = model / name
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    checkpoint = Checkpoint(model, "model")
    with pytest.raises(CheckpointError, match=name):
        checkpoint.has(name)
    if name == "model.safetensors":
        with pytest.raises(CheckpointError, match=name):
            checkpoint.weights()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_shard_of_another_kind(name: str, model: Path) -> None:
    (model / "model.safetensors").unlink()
    os.mkfifo(model / "shard")
    index = json.dumps({"weight_map": {"a": "shard"}})
    (model / f"{name}.index.json").write_text(index)
    with pytest.raises(CheckpointError, match="shard"):
        Checkpoint(model, "model", allow_pickle=True).weights()


@pytest.mark.parametrize("file", ["x" * 300, "x" * 100_000, "a\0b", "../x", "\ud800"])
def test_missing_shards(file: str, model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(CheckpointError, match="not in its folder") as error:
        Checkpoint(model, "model").weights()
    assert len(str(error.value)) < 1000


def test_a_pickle_of_tensors_that_are_not_dense(model: Path) -> None:
    (model / "model.safetensors").unlink()
    for state in ({"a": torch.eye(3).to_sparse()}, {1: torch.eye(3)}, {"a": None}, [torch.eye(3)]):
        torch.save(state, model / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match="not a mapping of names to tensors"):
            Checkpoint(model, "model", allow_pickle=True).weights()
