"""Published and saved checkpoints: precisions, shards, prefixes, old names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from munjang.backends.registry import BACKENDS
from munjang.checkpoints import open_checkpoint
from munjang.errors import CheckpointError, InputError
from munjang.runtime.model import Model
from support.peers import ARCHITECTURES, random_inputs, random_peer, reference

TOLERANCE = 1e-5
Inputs = dict[str, Any]
HEADS = ["BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction"]


def inputs_for(seed: int = 20) -> Inputs:
    return dict(random_inputs(np.random.default_rng(seed)))


def assert_equals_peer(model: Model, peer: Any) -> None:
    inputs = inputs_for()
    expected = reference(peer, inputs)
    output = model(**inputs)
    for name, value in output.items():
        difference = np.abs(value - expected[name].numpy())
        if name == "last_hidden_state":
            difference = difference[inputs["attention_mask"] == 1]
        assert difference.max() < TOLERANCE


def rename_tensors(folder: Path, new_name: Callable[[str], str]) -> None:
    file = folder / "model.safetensors"
    tensors = {new_name(name): tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("head", [None, "sequence-classification"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saved_and_loaded_again(architecture: str, head: str | None, tmp_path: Path) -> None:
    """The same bits, here and in transformers."""
    peer = random_peer(architecture, tmp_path / "theirs", head=head is not None)
    model = Model.from_pretrained(tmp_path / "theirs", head=head)
    model.save_pretrained(tmp_path / "ours")

    written = open_checkpoint(tmp_path / "ours").weights()
    assert set(written) == set(model.weights)
    for name in written:
        assert written[name].dtype == model.weights[name].dtype
        np.testing.assert_array_equal(written[name], model.weights[name])
    again = Model.from_pretrained(tmp_path / "ours", head=head)
    inputs = inputs_for()
    before, after = model(**inputs), again(**inputs)
    assert before.keys() == after.keys()
    for name in before.keys():  # noqa: SIM118 - iteration is over the values
        np.testing.assert_array_equal(before[name], after[name])

    theirs, problems = type(peer).from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(problems.values())
    for name, value in reference(theirs.eval(), inputs).items():
        np.testing.assert_array_equal(value.numpy(), reference(peer, inputs)[name].numpy())


def test_saving_over_an_open_model(tmp_path: Path) -> None:
    """The memory-mapped file is replaced only when the new file is complete."""
    random_peer("bert", tmp_path)
    model = Model.from_pretrained(tmp_path)
    before = model(**inputs_for()).last_hidden_state
    model.save_pretrained(tmp_path)
    assert before is not None
    np.testing.assert_array_equal(model(**inputs_for()).last_hidden_state, before)
    np.testing.assert_array_equal(Model.from_pretrained(tmp_path)(**inputs_for()).last_hidden_state, before)


def test_saving_to_a_read_only_folder(tmp_path: Path) -> None:
    random_peer("bert", tmp_path / "model")
    (tmp_path / "file").write_text("not a folder")
    model = Model.from_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"Can't write into '.*file'"):
        model.save_pretrained(tmp_path / "file")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision(precision: torch.dtype, backend: str, tmp_path: Path) -> None:
    """Read as float32, and saved as float32 with a config that says so."""
    peer = random_peer("bert", tmp_path / "half").to(precision)
    peer.save_pretrained(tmp_path / "half")
    peer = peer.float()  # the same numbers, for the reference to compute with
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == str(precision)[6:]

    model = Model.from_pretrained(tmp_path / "half", backend=backend)
    assert_equals_peer(model, peer)
    assert_equals_peer(model, peer)  # the widened arrays live as long as the executor
    model.save_pretrained(tmp_path / "full")
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "full").eval()
    assert theirs.dtype == torch.float32
    assert_equals_peer(model, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_shards(backend: str, tmp_path: Path) -> None:
    peer = random_peer("bert", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    peer.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_equals_peer(Model.from_pretrained(tmp_path, backend=backend), peer)


@pytest.mark.parametrize("backend", BACKENDS)
def test_old_names_of_layer_norms(backend: str, tmp_path: Path) -> None:
    """Checkpoints converted from TensorFlow say gamma and beta; so do ours when saved from them."""
    peer = random_peer("bert", tmp_path / "old")

    def old_name(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    rename_tensors(tmp_path / "old", old_name)
    model = Model.from_pretrained(tmp_path / "old", backend=backend)
    assert any(name.endswith("gamma") for name in model.weights)
    assert_equals_peer(model, peer)
    model.save_pretrained(tmp_path / "new")
    theirs, problems = transformers.BertModel.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not any(problems.values())
    assert_equals_peer(model, theirs.eval())


@pytest.mark.parametrize("class_name", HEADS)
def test_encoder_inside_a_model_with_a_head(class_name: str, tmp_path: Path) -> None:
    """With the base prefix, and with the pooler only where the published model has one."""
    random_peer("bert", tmp_path / "bare")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "bare")
    torch.manual_seed(3)
    peer = getattr(transformers, class_name)(config).eval()
    peer.save_pretrained(tmp_path / "full")
    model = Model.from_pretrained(tmp_path / "full", None)
    assert all(name.startswith(("bert.", "cls.")) for name in model.weights)
    assert model.has_pooler is (class_name != "BertForMaskedLM")
    assert_equals_peer(model, peer.bert)
    if not model.has_pooler:
        assert model([5, 6]).pooler_output is None
        with pytest.raises(CheckpointError, match=r"no trained pooler .*'pooler.dense.weight'"):
            model([5, 6], outputs=["pooler_output"])
    with pytest.raises(
        CheckpointError, match=r"no trained sequence-classification head; it has (masked|next)"
    ):
        Model.from_pretrained(tmp_path / "full", head="sequence-classification")


@pytest.mark.parametrize("architecture", ["electra", "distilbert"])
def test_architectures_without_a_pooler(architecture: str, tmp_path: Path) -> None:
    random_peer(architecture, tmp_path)
    model = Model.from_pretrained(tmp_path)
    assert model([5, 6]).pooler_output is None
    with pytest.raises(InputError, match=f"type '{architecture}' has no pooler"):
        model([5, 6], outputs=["pooler_output"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_that_are_not_numbers(backend: str, tmp_path: Path) -> None:
    """NaN in the weights is refused by the name of the tensor."""
    random_peer("bert", tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    tensors["embeddings.word_embeddings.weight"][5] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"'embeddings.word_embeddings.weight' holds nan at \[5\]\[0\]"):
        Model.from_pretrained(tmp_path, backend=backend)([[5, 6], [7, 8]])
