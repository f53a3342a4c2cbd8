"""Weights that are NaN or infinite are refused by name, when they are opened or when they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang import SentenceTransformer
from munjang.backends import executor
from munjang.backends.registry import BACKENDS
from munjang.checkpoints import open_checkpoint, save_weights
from munjang.errors import CheckpointError
from munjang.runtime.model import Model
from munjang.tasks.generation.text_generation import TextGeneration
from munjang.tasks.loading import ModelOptions
from support.gpt2 import make_gpt2
from support.peers import random_peer
from support.tiny import tiny_sentence_model

EMBEDDINGS = "embeddings.word_embeddings.weight"
IDS = [[5, 6, 7]]


@pytest.fixture
def large_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the check at opening, as in a model of normal size, whose embedding table is not read then."""
    monkeypatch.setattr(executor, "_CHECKED_BYTES", 0)


def spoilt(folder: Path, name: str, place: Any, value: float) -> Path:
    weights = dict(open_checkpoint(folder).weights())
    weights[name] = weights[name].copy()
    weights[name][place] = value
    save_weights(folder / "model.safetensors", weights)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random_peer("bert", tmp_path / "bert")
    return tmp_path / "bert"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("encoder.layer.1.intermediate.dense.weight", (3, 4), "[3][4]"),
        ("encoder.layer.2.output.LayerNorm.bias", 5, "[5]"),
    ],
)
def test_a_weight_of_a_layer(
    name: str, place: Any, words: str, backend: str, value: float, folder: Path
) -> None:
    spoilt(folder, name, place, value)
    with pytest.raises(CheckpointError) as error:
        Model.from_pretrained(folder, backend=backend)(IDS)
    assert f"'{name}' holds {value} at {words} (1 of" in str(error.value)


@pytest.mark.usefixtures("large_tables")
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_row_of_embeddings_that_is_used(backend: str, value: float, folder: Path) -> None:
    spoilt(folder, EMBEDDINGS, (6, 2), value)
    model = Model.from_pretrained(folder, backend=backend)
    with pytest.raises(CheckpointError) as error:
        model(IDS)
    assert f"'{EMBEDDINGS}' holds {value} at [6][2] (1 of" in str(error.value)
    found = model([[5, 7]]).last_hidden_state  # a row that nothing uses harms nothing
    assert found is not None
    assert np.isfinite(found).all()


@pytest.mark.usefixtures("large_tables")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sentence_encoder(backend: str, tmp_path: Path) -> None:
    folder = tiny_sentence_model(tmp_path / "model")
    piece = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines().index("학")
    spoilt(folder, EMBEDDINGS, piece, np.nan)
    model = SentenceTransformer(str(folder), backend=backend)
    assert np.isfinite(model.encode(["abc"] * 40)).all()
    with pytest.raises(CheckpointError, match=f"'{EMBEDDINGS}' holds nan"):
        model.encode(["abc"] * 40 + ["학교"])
    assert np.isfinite(model.encode(["abc"])).all()  # and it can be used again


@pytest.mark.usefixtures("large_tables")
@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_weights_are_found_during_generation(backend: str, tmp_path: Path) -> None:
    folder = make_gpt2(tmp_path / "gpt2").folder
    spoilt(folder, "transformer.wpe.weight", 3, np.nan)
    writer = TextGeneration(folder, options=ModelOptions(backend=backend))
    with pytest.raises(CheckpointError, match=r"'transformer\.wpe\.weight' holds nan"):
        writer("abc", max_new_tokens=8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_finite_weights_that_overflow(backend: str, folder: Path) -> None:
    name = "encoder.layer.2.output.LayerNorm.weight"
    spoilt(folder, name, slice(None), 3e38)
    with pytest.raises(CheckpointError, match=r"last_hidden_state, .* are NaN or infinite, though all"):
        Model.from_pretrained(folder, backend=backend)(IDS)


def test_large_finite_weights_are_accepted() -> None:
    """The sum overflows, but each value is finite."""
    executor.check_finite("a", np.full((4, 4), 3e38, np.float32))
    outputs = {"a": np.full((4, 4), 3e38, np.float32)}
    assert executor.check_outputs(outputs, {}) is outputs


def test_every_tensor_is_checked_by_name(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    config, weights = checkpoint.config(), dict(checkpoint.weights())
    for name, tensor in weights.items():
        if tensor.dtype.kind == "f" and "pooler" not in name:
            broken = tensor.copy()
            broken.reshape(-1)[-1] = np.nan
            with pytest.raises(CheckpointError, match=f"'{name}' holds nan"):
                Model(config, weights | {name: broken}, backend="openvino")(IDS)


def test_logits(tmp_path: Path) -> None:
    random_peer("bert", tmp_path / "bert", head=True)
    spoilt(tmp_path / "bert", "classifier.bias", 0, np.nan)
    for backend in BACKENDS:
        with pytest.raises(CheckpointError, match=r"'classifier\.bias' holds nan"):
            Model.from_pretrained(tmp_path / "bert", "sequence-classification", backend=backend)(IDS)
