"""Trained and frozen tensors: layers, rows of the embeddings, losses, gradients and updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional

from munjang.data.examples import LabelledText
from munjang.errors import InputError, InputTypeError
from munjang.models import registry
from munjang.runtime.model import Model
from munjang.training.loop.loop import train
from munjang.training.loop.network import Network
from munjang.training.loop.optimizer import Optimizer, decays, learning_rate_at
from munjang.training.options import TrainingOptions
from support.learning import CAREFUL, EXAMPLES, classifier, tiny_model

ARCHITECTURES = ("bert", "roberta", "xlm-roberta", "electra", "distilbert")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("network") / "model", dropout=0.0)


def saved(folder: Path) -> Mapping[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(folder / "model.safetensors"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loss_and_gradients_are_those_of_transformers(tmp_path: Path, architecture: str) -> None:
    start = tiny_model(tmp_path / "model", architecture, dropout=0.0)
    objective = classifier(start)
    rng = np.random.default_rng(0)
    chosen = [objective.examples[i] for i in (0, 3, 9, 20, 33)]
    tally = objective.accumulate(chosen, rng)
    objective.save(tmp_path / "saved")

    peer = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").train()
    longest = max(len(example.texts[0].input_ids) for example in chosen)
    ids = torch.zeros(len(chosen), longest, dtype=torch.long) + (peer.config.pad_token_id or 0)
    mask = torch.zeros_like(ids)
    for row, example in enumerate(chosen):
        ids[row, : len(example.texts[0].input_ids)] = torch.tensor(example.texts[0].input_ids)
        mask[row, : len(example.texts[0].input_ids)] = 1
    logits = peer(input_ids=ids, attention_mask=mask).logits
    labels = torch.tensor([int(example.target) for example in chosen])
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    loss.backward()  # type: ignore[no-untyped-call]
    assert tally.count == len(chosen)
    assert tally.total == pytest.approx(float(loss.detach()), abs=1e-5)
    _compare(objective.network, dict(peer.named_parameters()), chosen)


def _compare(network: Network, peer: Mapping[str, torch.nn.Parameter], chosen: Any) -> None:
    seen = 0
    for name, value in network.trained.items():
        expected = peer[name].grad if name in peer else None
        if value.grad is None:  # such as a pooler that the head does not use
            assert expected is None or not expected.any(), name
            continue
        assert expected is not None
        if expected.shape != value.grad.shape:  # the rows that the examples use
            expected = expected[expected.abs().sum(dim=1) > 0]
            found = value.grad[value.grad.abs().sum(dim=1) > 0]
        else:
            found = value.grad
        scale = max(1.0, float(expected.abs().max()))
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5, err_msg=name)
        seen += 1
    assert seen > 20


def test_unused_rows_are_frozen_and_the_others_learn_as_in_a_full_table(model: Path, tmp_path: Path) -> None:
    options = replace(CAREFUL, weight_decay=0.0)
    train(classifier(model, options), tmp_path / "rows", options)
    whole = classifier(model, options)
    whole.network = Network(whole.loaded.model, options)
    train(whole, tmp_path / "whole", options)
    name = "bert.embeddings.word_embeddings.weight"
    rows, table = saved(tmp_path / "rows"), saved(tmp_path / "whole")
    for tensor, value in table.items():
        if not tensor.endswith("key.bias"):
            np.testing.assert_allclose(rows[tensor], value, atol=2e-5, err_msg=tensor)
    start = Model.from_pretrained(model).weights
    before = start[name if name in start else name.removeprefix("bert.")]
    used = {i for example in classifier(model).examples for i in example.texts[0].input_ids}
    unused = sorted(set(range(len(before))) - used)
    assert unused
    np.testing.assert_array_equal(rows[name][unused], before[unused])
    assert not np.array_equal(rows[name], before)


@pytest.mark.parametrize(
    ("change", "frozen"),
    [
        ({"freeze_embeddings": True}, ["embeddings."]),
        ({"freeze_layers": 1}, ["embeddings.", "encoder.layer.0."]),
        ({"freeze_layers": 3}, ["embeddings.", "encoder.layer."]),
    ],
)
def test_frozen_layers_stay(model: Path, tmp_path: Path, change: dict[str, Any], frozen: list[str]) -> None:
    options = replace(CAREFUL, **change)
    objective = classifier(model, options)
    before = {name: np.array(value) for name, value in objective.network.weights().items()}
    train(objective, tmp_path / "run", options)
    for name, value in saved(tmp_path / "run").items():
        stays = any(part in name for part in frozen)
        assert np.array_equal(value, before[name]) == stays, name


@pytest.mark.parametrize(
    ("kind", "name", "depth"),
    [
        ("bert", "bert.embeddings.LayerNorm.weight", 0),
        ("electra", "embeddings_project.weight", 0),
        ("bert", "bert.encoder.layer.0.output.dense.bias", 1),
        ("electra", "generator/electra.encoder.layer.2.output.dense.bias", 3),
        ("distilbert", "distilbert.transformer.layer.5.ffn.lin1.weight", 6),
        ("gpt2", "transformer.h.11.attn.c_attn.weight", 12),
        ("gpt2", "wte.weight", 0),
        ("bert", "classifier.weight", None),
        ("bert", "bert.pooler.dense.weight", None),
    ],
)
def test_depths(kind: str, name: str, depth: int | None) -> None:
    assert registry.ARCHITECTURES[kind].depth_of(name) == depth


def test_lower_layers_learn_slower(model: Path) -> None:
    options = replace(CAREFUL, layer_decay=0.5)
    objective = classifier(model, options)
    optimizer = Optimizer(objective.network, options)
    layers = objective.loaded.model.config.num_hidden_layers
    scales = {
        name: group["scale"]
        for group in optimizer._adam.param_groups
        for name, value in objective.network.trained.items()
        if any(value is parameter for parameter in group["params"])
    }
    assert scales["classifier.weight"] == 1
    assert scales[f"bert.encoder.layer.{layers - 1}.output.dense.weight"] == 0.5
    assert scales["bert.embeddings.word_embeddings.weight"] == 0.5 ** (layers + 1)


def test_biases_and_norms_do_not_decay() -> None:
    matrix, vector = torch.zeros(2, 2), torch.zeros(2)
    assert decays("encoder.layer.0.output.dense.weight", matrix)
    assert not decays("encoder.layer.0.output.dense.bias", vector)
    assert not decays("encoder.layer.0.output.LayerNorm.weight", vector)


def test_updates_equal_adamw_written_by_hand(model: Path) -> None:
    """One update of arXiv:1711.05101, algorithm 2, written out."""
    options = replace(CAREFUL, weight_decay=0.1, max_grad_norm=0.0)
    objective = classifier(model, options)
    optimizer = Optimizer(objective.network, options)
    objective.accumulate(objective.examples[:4], np.random.default_rng(0))
    expected = {}
    for name, value in objective.network.trained.items():
        if value.grad is not None:
            decay = 1 - 1e-3 * (0.1 if decays(name, value) else 0.0)
            g = value.grad.double()
            moment, square = 0.1 * g / (1 - 0.9), 0.001 * g**2 / (1 - 0.999)
            expected[name] = value.detach().double() * decay - 1e-3 * moment / (square.sqrt() + 1e-8)
    optimizer.step(1e-3)
    for name, wanted in expected.items():
        found = objective.network.trained[name].detach()
        np.testing.assert_allclose(found, wanted, atol=2e-6, err_msg=name)


def test_clipping_keeps_the_direction_of_the_gradient(model: Path) -> None:
    options = replace(CAREFUL, max_grad_norm=1e-3)
    objective = classifier(model, options)
    optimizer = Optimizer(objective.network, options)
    objective.accumulate(objective.examples[:4], np.random.default_rng(0))
    values = [value for value in objective.network.trained.values() if value.grad is not None]
    before = torch.cat([value.grad.flatten() for value in values])  # type: ignore[union-attr]
    assert optimizer.clip() == pytest.approx(float(before.norm()), rel=1e-5)
    after = torch.cat([value.grad.flatten() for value in values])  # type: ignore[union-attr]
    assert float(after.norm()) == pytest.approx(1e-3, rel=1e-3)
    assert float(functional.cosine_similarity(before, after, dim=0)) == pytest.approx(1, abs=1e-5)


def test_learning_rates() -> None:
    options = TrainingOptions(learning_rate=1.0, warmup_ratio=0.2)
    found = [learning_rate_at(step, 10, options) for step in range(1, 11)]
    assert found[:2] == [0.5, 1.0]
    np.testing.assert_allclose(found[2:], np.arange(8, 0, -1) / 9)
    constant = replace(options, schedule="constant")
    assert [learning_rate_at(step, 10, constant) for step in range(2, 11)] == [1.0] * 9
    cosine = replace(options, schedule="cosine")
    falling = [learning_rate_at(step, 10, cosine) for step in range(2, 11)]
    assert all(a > b for a, b in pairwise(falling))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be more than 0"),
        ({"epochs": -1}, "epochs must be more than 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"warmup_ratio": 1.5}, "warmup_ratio must be a number from 0 to 1"),
        ({"layer_decay": 2.0}, "layer_decay must be a number from 0 to 1"),
        ({"schedule": "steps"}, "schedule must be one of 'linear', 'cosine', 'constant', got 'steps'"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number"),
        ({"patience": 0}, "patience must be at least 1"),
    ],
)
def test_impossible_values(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainingOptions(**wrong)


@pytest.mark.parametrize("wrong", [{"batch_size": "8"}, {"epochs": "many"}, {"bfloat16": 1}, {"seed": True}])
def test_values_of_a_wrong_type(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputTypeError, match=f"{next(iter(wrong))} must be"):
        TrainingOptions(**wrong)


def test_more_frozen_layers_than_the_model_has(model: Path) -> None:
    with pytest.raises(InputError, match="freeze_layers=4, but the model has 3 layers"):
        classifier(model, replace(CAREFUL, freeze_layers=4))
    classifier(model, replace(CAREFUL, freeze_layers=3))  # the head is left


def test_missing_devices(model: Path) -> None:
    for device, message in (("tpu", "Unknown device"), ("cuda:99", "torch sees")):
        with pytest.raises(InputError, match=message):
            classifier(model, replace(CAREFUL, device=device))


def test_one_label_or_none(model: Path) -> None:
    with pytest.raises(InputError, match="Every example has the label 'good'"):
        classifier(model, examples=[example for example in EXAMPLES if example.label == "good"])
    with pytest.raises(InputError, match="no examples"):
        classifier(model, examples=[])


def test_a_label_of_the_held_out_data_that_was_not_learned(model: Path) -> None:
    with pytest.raises(InputError, match="Example 0 has the label 'fine'; there are 'bad', 'good'"):
        classifier(model, held_out=[LabelledText("a", None, "fine")])
