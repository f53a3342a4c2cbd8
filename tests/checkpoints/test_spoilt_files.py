"""Random damage to a model's files: the outcome is always a `MunjangError` or a result of the right shape."""

from __future__ import annotations

import json
import shutil
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from munjang import CrossEncoder, SentenceTransformer
from munjang.errors import MunjangError
from munjang.runtime.model import Model
from support.spoiling import spoil_bytes, spoil_json
from support.tiny import tiny_cross_encoder, tiny_sentence_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEEDS = 20  # for each file and kind of damage
TEXTS = ["학교 abc", "x"]


class Sound(NamedTuple):
    folder: Path
    run: Callable[[Path], Any]


def encode(folder: Path) -> Any:
    return SentenceTransformer(str(folder), backend="numpy").encode(TEXTS)


def predict(folder: Path) -> Any:
    return CrossEncoder(str(folder), backend="numpy").predict([("학교", "abc")])


def hidden(folder: Path, *, allow_pickle: bool = False) -> Any:
    model = Model.from_pretrained(folder, backend="numpy", allow_pickle=allow_pickle)
    return model([[2, 7, 3]]).last_hidden_state


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sound]:
    root = tmp_path_factory.mktemp("sound")
    sentences = tiny_sentence_model(root / "sentences")
    modules = json.loads((sentences / "modules.json").read_text())
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (sentences / "modules.json").write_text(json.dumps([*modules, dense]))
    (sentences / "2_Dense").mkdir()
    about = {"in_features": 32, "out_features": 8, "bias": True, "activation_function": "torch.nn.Tanh"}
    (sentences / "2_Dense" / "config.json").write_text(json.dumps(about))
    save_file(
        {"linear.weight": torch.ones(8, 32), "linear.bias": torch.ones(8)},
        sentences / "2_Dense" / "model.safetensors",
    )
    pairs = tiny_cross_encoder(root / "pairs")
    shards = tiny_sentence_model(root / "shards")
    (shards / "model.safetensors").rename(shards / "model-00001-of-00001.safetensors")
    tensors = load_file(shards / "model-00001-of-00001.safetensors")
    index = {
        "metadata": {"total_size": 1},
        "weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors"),
    }
    (shards / "model.safetensors.index.json").write_text(json.dumps(index))
    pickled = tiny_sentence_model(root / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    return {
        "sentences": Sound(sentences, encode),
        "pairs": Sound(pairs, predict),
        "shards": Sound(shards, hidden),
        "pickled": Sound(pickled, partial(hidden, allow_pickle=True)),
    }


JSON_FILES = [
    ("sentences", "config.json"),
    ("sentences", "modules.json"),
    ("sentences", "1_Pooling/config.json"),
    ("sentences", "2_Dense/config.json"),
    ("sentences", "sentence_bert_config.json"),
    ("sentences", "config_sentence_transformers.json"),
    ("pairs", "config.json"),
    ("shards", "model.safetensors.index.json"),
]
BINARY_FILES = [
    ("sentences", "model.safetensors", 600),
    ("sentences", "2_Dense/model.safetensors", 200),
    ("pickled", "pytorch_model.bin", None),
]


@pytest.mark.parametrize(
    ("name", "file", "key", "value"),
    [
        ("sentences", "config_sentence_transformers.json", "default_prompt_name", {}),
        ("sentences", "config_sentence_transformers.json", "default_prompt_name", []),
        ("sentences", "config_sentence_transformers.json", "similarity_fn_name", [[]]),
        ("pairs", "config.json", "architectures", 1),
        ("pairs", "config.json", "num_labels", 10**400),
        ("shards", "model.safetensors.index.json", "weight_map", {"a": "x" * 5000}),
    ],
)
def test_values_that_once_gave_raw_errors(
    name: str, file: str, key: str, value: object, sound: dict[str, Sound], tmp_path: Path
) -> None:
    content = json.loads((sound[name].folder / file).read_bytes())
    check(json.dumps(content | {key: value}).encode(), name, file, sound, tmp_path)


def check(spoilt: bytes, name: str, file: str, sound: dict[str, Sound], tmp_path: Path) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(sound[name].folder, folder)
    (folder / file).write_bytes(spoilt)
    message, result = "", np.empty(1, np.float32)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = sound[name].run(folder)
    except MunjangError as error:
        message = str(error)
    finally:
        shutil.rmtree(folder)
    assert len(message) < 20_000
    assert result.dtype == np.float32
    assert len(result) >= 1


@pytest.mark.parametrize(("name", "file"), JSON_FILES)
def test_other_values_in_json_files(name: str, file: str, sound: dict[str, Sound], tmp_path: Path) -> None:
    for seed in range(SEEDS):
        check(spoil_json((sound[name].folder / file).read_bytes(), seed), name, file, sound, tmp_path)


@pytest.mark.parametrize(("name", "file"), JSON_FILES)
def test_other_bytes_in_json_files(name: str, file: str, sound: dict[str, Sound], tmp_path: Path) -> None:
    for seed in range(SEEDS // 2):
        check(spoil_bytes((sound[name].folder / file).read_bytes(), seed), name, file, sound, tmp_path)


@pytest.mark.parametrize(("name", "file", "most"), BINARY_FILES)
def test_other_bytes_in_weights(
    name: str, file: str, most: int | None, sound: dict[str, Sound], tmp_path: Path
) -> None:
    for seed in range(SEEDS):
        content = (sound[name].folder / file).read_bytes()
        check(spoil_bytes(content, seed, most=most), name, file, sound, tmp_path)
