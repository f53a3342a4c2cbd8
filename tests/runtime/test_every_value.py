"""Every tap of a model can be requested, and all executors return the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang.models.program import LAST_HIDDEN_STATE, LOGITS, POOLER_OUTPUT
from munjang.runtime.model import Model
from support.peers import random_inputs, random_peer, reference

IN_LAYER = [
    "query",
    "key",
    "value",
    "attention.scores",
    "attention.probabilities",
    "attention.context",
    "attention",
    "intermediate",
]
ENDS = {
    "bert": (["embeddings.word", "embeddings.position", "embeddings.token_type"], [POOLER_OUTPUT, LOGITS]),
    "roberta": (
        ["embeddings.word", "embeddings.position", "embeddings.token_type"],
        ["classifier.dense", LOGITS],
    ),
    "electra": (
        ["embeddings.word", "embeddings.position", "embeddings.token_type"],
        ["classifier.dense", LOGITS],
    ),
    "distilbert": (["embeddings.word", "embeddings.position"], ["classifier.dense", LOGITS]),
}


def open_model(architecture: str, folder: Path, **options: Any) -> tuple[Any, Model]:
    layers = "n_layers" if architecture == "distilbert" else "num_hidden_layers"
    peer = random_peer(architecture, folder, head=True, settings={layers: 2})
    return peer, Model.from_pretrained(folder, head="sequence-classification", **options)


@pytest.mark.parametrize("architecture", ENDS)
def test_names_in_the_order_of_computation(architecture: str, tmp_path: Path) -> None:
    _, model = open_model(architecture, tmp_path, backend="numpy")
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(0), texts=3, longest=9)
    values = model.every_value(**inputs)
    first, last = ENDS[architecture]
    layers = [[f"layer.{i}.{step}" for step in IN_LAYER] + [f"layer.{i}"] for i in range(2)]
    assert list(values) == [*first, "embeddings", *layers[0], *layers[1], LAST_HIDDEN_STATE, *last]

    tokens = int(inputs["attention_mask"].sum())
    heads = (3, 4, 9, 9)
    for name, value in values.items():
        assert value.dtype == np.float32
        if name.endswith((".scores", ".probabilities")):
            assert value.shape == heads
        elif name in last:
            assert len(value) == 3
        else:  # every token, in the last layer too
            assert len(value) == tokens
    for name in values:
        if name.endswith(".probabilities"):
            np.testing.assert_allclose(values[name].sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("backend", ["openvino", "torch"])
@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_taps_of_the_other_executors_agree(architecture: str, backend: str, tmp_path: Path) -> None:
    """Each value requested alone, and all values together."""
    _, model = open_model(architecture, tmp_path, backend=backend)
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(1), texts=3, longest=9)
    batch, mask = model._batch(**inputs)
    expected = model.every_value(**inputs)
    taps = [name for name in expected if name not in (LAST_HIDDEN_STATE, POOLER_OUTPUT, LOGITS)]
    together = model.runner.run_batch(model.program(frozenset({LOGITS}), frozenset(taps)), batch)
    one_by_one = {
        name: model.runner.run_batch(model.program(frozenset(), frozenset({name})), batch)[name]
        for name in taps
        if not name.startswith("classifier")  # on the way to the logits only
    }
    visible = np.broadcast_to(mask[:, None, :, None], (3, 4, 9, 9))  # rows of padding belong to no text
    for found in (together, one_by_one):
        for name, value in found.items():
            difference = np.abs(value - expected[name])
            if name.endswith((".scores", ".probabilities")):
                difference = difference[visible & np.swapaxes(visible, 2, 3)]
            assert difference.max() < 1e-5, name


def test_values_are_the_reference_s(tmp_path: Path) -> None:
    peer, model = open_model("bert", tmp_path, backend="numpy")
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(2), texts=3, longest=9)
    mask = inputs["attention_mask"] == 1
    theirs = reference(peer, inputs, output_hidden_states=True, output_attentions=True)
    values = model.every_value(**inputs)
    for i, name in enumerate(["embeddings", "layer.0", "layer.1"]):
        assert np.abs(values[name] - theirs["hidden_states"][i].numpy()[mask]).max() < 1e-5
    assert np.abs(values[LOGITS] - theirs["logits"].numpy()).max() < 1e-5
    word = peer.bert.embeddings.word_embeddings.weight.detach().numpy()[inputs["input_ids"][mask]]
    np.testing.assert_array_equal(values["embeddings.word"], word)
