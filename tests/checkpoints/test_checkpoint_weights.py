from __future__ import annotations

import json
import struct
from collections import ChainMap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from munjang.checkpoints import Checkpoint, save_weights
from munjang.checkpoints.weights import open_safetensors, release_pages
from munjang.errors import CheckpointError, UnsafeCheckpointError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def some_tensors() -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    return {
        "odd.bytes": np.arange(3, dtype=np.uint8),
        "encoder.weight": random.normal(size=(3, 5)).astype(np.float32),
        "scalar": np.array(2.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "position_ids": np.arange(7, dtype=np.int64),
        "transposed": random.normal(size=(2, 3)).astype(np.float32).T,
    }


def test_saved_files_are_read_back(tmp_path: Path) -> None:
    tensors = some_tensors()
    save_weights(tmp_path / "model.safetensors", tensors)
    weights = Checkpoint(tmp_path, "m").weights()
    assert set(weights) == set(tensors)
    assert len(weights) == len(tensors)
    for name, tensor in tensors.items():
        assert weights.shape(name) == tensor.shape
        assert weights[name].dtype == tensor.dtype
        np.testing.assert_array_equal(weights[name], tensor)


def test_other_libraries_read_what_was_saved(tmp_path: Path) -> None:
    tensors = some_tensors()
    save_weights(tmp_path / "model.safetensors", tensors)
    for name, tensor in safetensors.torch.load_file(tmp_path / "model.safetensors").items():
        np.testing.assert_array_equal(tensor.numpy(), tensors[name])
    with safetensors.safe_open(str(tmp_path / "model.safetensors"), "numpy") as file:
        assert file.metadata() == {"format": "pt"}


def test_half_precisions_are_read_as_float32(tmp_path: Path) -> None:
    values = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    halves = {"f16": values.half(), "bf16": values.bfloat16(), "f64": values.double()}
    safetensors.torch.save_file(halves, tmp_path / "model.safetensors")
    weights = open_safetensors(tmp_path / "model.safetensors")
    for name, tensor in halves.items():
        assert weights[name].dtype == np.float32
        np.testing.assert_array_equal(weights[name], tensor.float().numpy())


def test_float32_is_a_read_only_view_on_the_file(tmp_path: Path) -> None:
    save_weights(tmp_path / "model.safetensors", {"a": np.ones((4, 4), np.float32)})
    tensor = open_safetensors(tmp_path / "model.safetensors")["a"]
    assert not tensor.flags.owndata
    assert not tensor.flags.writeable
    base: Any = tensor
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert not isinstance(base, np.ndarray)  # an mmap object


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc")
def test_memory_pages_are_released_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    big = np.random.default_rng(3).random((1024, 1024), dtype=np.float32)  # 4 MiB
    save_weights(path, {"big": big})
    weights = open_safetensors(path)
    held = weights["big"]
    total = held.sum()
    before = resident(path)
    release_pages(ChainMap({}, weights))  # type: ignore[arg-type]
    assert before > 4000
    assert resident(path) < 100
    assert held.sum() == total
    np.testing.assert_array_equal(weights["big"], big)


def resident(path: Path) -> int:
    """KiB of a mapped file that this process holds in memory."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.endswith(str(path)):
            return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))
    raise AssertionError("the file is not mapped")


def test_unaligned_tensors_are_copied(tmp_path: Path) -> None:
    header = {
        "b": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [3, 11]},
    }
    text = json.dumps(header).encode()
    data = bytes([1, 2, 3]) + np.array([1.5, -2], "<f4").tobytes()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    weights = open_safetensors(tmp_path / "model.safetensors")
    assert weights["a"].tolist() == [1.5, -2]
    assert weights["a"].flags.aligned


def test_a_missing_name_is_a_key_error(tmp_path: Path) -> None:
    save_weights(tmp_path / "model.safetensors", {"a": np.ones(2, np.float32)})
    weights = open_safetensors(tmp_path / "model.safetensors")
    assert "b" not in weights
    assert weights.get("b") is None
    with pytest.raises(KeyError):
        weights["b"]
    with pytest.raises(KeyError):
        weights.shape("b")


@pytest.mark.parametrize("kept", [0, 4, 8, 40, 120, -1])
def test_a_cut_off_file_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, {"a": np.ones(64, np.float32)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors' can't be read as safetensors"):
        Checkpoint(tmp_path, "m").weights()


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html>" * 40, b"\0" * 200, b"version https://git-lfs\noid 1\n"]
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="can't be read as safetensors"):
        Checkpoint(tmp_path, "m").weights()


def shards(folder: Path) -> dict[str, str]:
    save_weights(folder / "model-00001-of-00002.safetensors", {"a": np.zeros(2, np.float32)})
    save_weights(folder / "model-00002-of-00002.safetensors", {"b": np.ones(3, np.float32)})
    return {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}


def write_index(folder: Path, weight_map: object) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_shards_are_one_mapping(tmp_path: Path) -> None:
    write_index(tmp_path, shards(tmp_path))
    weights = Checkpoint(tmp_path, "m").weights()
    assert {name: weights[name].tolist() for name in weights} == {"a": [0, 0], "b": [1, 1, 1]}
    assert weights.shape("b") == (3,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": "model-00003-of-00002.safetensors"}, "names the file 'model-00003"),
        ({"b": "../model.safetensors"}, "not in its folder"),
        ({"c": "model-00002-of-00002.safetensors"}, "lacks tensor 'c'"),
        ({"b": 3}, "not a shard index"),
    ],
)
def test_a_wrong_index_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    write_index(tmp_path, shards(tmp_path) | change)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint(tmp_path, "m").weights()


def test_the_error_for_missing_weights_lists_the_file_names(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"looked for model\.safetensors, .*pytorch_model\.bin"):
        Checkpoint(tmp_path, "m").weights()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_read_only_when_allowed(tmp_path: Path, zipped: bool) -> None:
    state = {
        "a": torch.ones(2, 3, dtype=torch.bfloat16),
        "n": torch.arange(3),
        "p": torch.nn.Parameter(torch.ones(1)),
    }
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpointError, match="allow_pickle=True"):
        Checkpoint(tmp_path, "m").weights()
    weights = Checkpoint(tmp_path, "m", allow_pickle=True).weights()
    assert weights["a"].dtype == np.float32
    assert weights["a"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert weights["n"].dtype == np.int64
    assert weights["p"].tolist() == [1]
    assert weights.shape("a") == (2, 3)
    assert not weights["n"].flags.writeable


def test_pickled_shards(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"b": torch.ones(2)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    weight_map = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    weights = Checkpoint(tmp_path, "m", allow_pickle=True).weights()
    assert {name: weights[name].tolist() for name in weights} == {"a": [0, 0], "b": [1, 1]}


def test_safetensors_win_over_a_pickle(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    save_weights(tmp_path / "model.safetensors", {"a": np.ones(1, np.float32)})
    assert Checkpoint(tmp_path, "m", allow_pickle=True).weights()["a"].tolist() == [1]


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


def test_a_pickle_that_wants_to_run_code_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"a": Harmful()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpointError, match="could run code"):
        Checkpoint(tmp_path, "m", allow_pickle=True).weights()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"garbage" * 9, b"PK\x03\x04 garbage"])
def test_a_broken_pickle_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        Checkpoint(tmp_path, "m", allow_pickle=True).weights()


def test_a_pickle_of_something_else_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not a mapping of names to tensors"):
        Checkpoint(tmp_path, "m", allow_pickle=True).weights()


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="can't be saved as safetensors"):
        save_weights(tmp_path / "model.safetensors", {"a": np.array(["text"])})
    with pytest.raises(CheckpointError, match=r"Can't write .*no-such-folder"):
        save_weights(tmp_path / "no-such-folder" / "model.safetensors", {"a": np.ones(1, np.float32)})
    assert list(tmp_path.iterdir()) == []


def test_a_save_replaces_the_file_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, {"a": np.zeros(4, np.float32)})
    old = open_safetensors(path)["a"]
    save_weights(path, {"a": np.ones(4, np.float32)})
    assert old.tolist() == [0, 0, 0, 0]
    assert open_safetensors(path)["a"].tolist() == [1, 1, 1, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
