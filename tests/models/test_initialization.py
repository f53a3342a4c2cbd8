"""New encoders and heads have the tensors of the reference's classes; a new architecture needs one module.

What can be wrong: a head that the architecture lacks, weights that do not fit the config.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from munjang import SentenceTransformer
from munjang.checkpoints import open_checkpoint
from munjang.errors import CheckpointError, InputError, MunjangError
from munjang.models import bert, registry
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.models.initialization import missing_shapes, new_encoder, with_head
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.runtime.model import Model
from munjang.training import TrainingOptions, make_student
from munjang.training.loop.loop import train
from munjang.training.options import ClassificationTask
from munjang.training.pretraining.masked import with_masked_head
from munjang.training.tasks.classification import TextClassificationObjective
from support.learning import EXAMPLES, tiny_model
from support.peers import ARCHITECTURES, random_peer

HEADS = {
    "sequence-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "masked-lm": "ForMaskedLM",
}
NOT_LEARNED = ("position_ids", "token_type_ids", ".decoder.bias")  # buffers, and a bias that is shared


@pytest.mark.parametrize("head", [None, *HEADS])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_tensors_are_those_of_the_reference(name: str, head: str | None, tmp_path: Path) -> None:
    random_peer(name, tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    raw |= {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
    config = getattr(transformers, ARCHITECTURES[name][0])(**raw)
    architecture = registry.architecture_of(raw)
    peer = getattr(transformers, architecture.published_class(head))(config)
    expected = {
        name: tuple(value.shape)
        for name, value in peer.state_dict().items()
        if not name.endswith(NOT_LEARNED) and "decoder.weight" not in name and "projector.weight" not in name
    }
    encoder = new_encoder(raw)
    if head is None:
        prefix = f"{architecture.base_prefix}."
        found = {name.removeprefix(prefix): value.shape for name, value in encoder.items()}
        expected = {name: shape for name, shape in expected.items() if "pooler" not in name}
    else:
        found = {name: value.shape for name, value in with_head(raw, encoder, head)[1].items()}
        expected = {name: shape for name, shape in expected.items() if name != "generator_lm_head.weight"}
    assert found == expected


def test_initial_values_of_a_new_encoder() -> None:
    raw = {"model_type": "bert", "hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 1}
    encoder = new_encoder({**raw, "initializer_range": 0.5}, seed=2)
    words = encoder["bert.embeddings.word_embeddings.weight"]
    assert abs(float(words.std()) - 0.5) < 0.01
    assert (encoder["bert.embeddings.LayerNorm.weight"] == 1).all()
    assert (encoder["bert.encoder.layer.0.output.dense.bias"] == 0).all()
    again = new_encoder({**raw, "initializer_range": 0.5}, seed=2)
    assert all(np.array_equal(encoder[name], again[name]) for name in encoder)


OLD_HEADS = {"sequence-classification": "single_label_classification", "token-classification": None}
AUTO = {"next-sentence-prediction": "ForNextSentencePrediction", **HEADS}


@pytest.mark.parametrize("old", OLD_HEADS)
@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta", "electra", "distilbert"])
def test_transformers_opens_a_model_whose_head_was_changed(name: str, old: str, tmp_path: Path) -> None:
    """Labels and the type of problem of the old head, here of three labels, do not stay in the config."""
    random_peer(name, tmp_path / "bare")
    raw = json.loads((tmp_path / "bare" / "config.json").read_text())
    bare = load_file(tmp_path / "bare" / "model.safetensors")
    three = {0: "a", 1: "b", 2: "c"}
    raw, tensors = with_head(raw, bare, old, labels=three, problem_type=OLD_HEADS[old])
    Model(raw, tensors, head=old, backend="numpy").save_pretrained(tmp_path / "old")
    checkpoint = open_checkpoint(tmp_path / "old")
    for head in registry.architecture_of(raw).heads:
        if head not in AUTO:
            continue  # only munjang has it
        labels = {0: "x", 1: "y", 2: "z", 3: "w"} if head.endswith("classification") else None
        made, weights = with_head(checkpoint.config(), checkpoint.weights(), head, labels=labels)
        Model(made, weights, head=head, backend="numpy").save_pretrained(tmp_path / head)
        peer, about = getattr(transformers, f"AutoModel{AUTO[head]}").from_pretrained(
            tmp_path / head, output_loading_info=True
        )
        assert not about["missing_keys"], (head, about)
        assert all(".pooler." in key for key in about["unexpected_keys"]), (head, about)
        ids = np.array([[5, 6, 7]])
        ours = Model.from_pretrained(tmp_path / head, head=head, backend="numpy")(ids).logits
        with torch.no_grad():
            theirs = peer.eval()(input_ids=torch.from_numpy(ids))
        starts = theirs.start_logits if head == "question-answering" else theirs.logits
        assert ours is not None
        np.testing.assert_allclose(ours[..., 0] if head == "question-answering" else ours, starts, atol=2e-5)
        if labels is not None:
            assert peer.config.id2label == labels
            assert peer.config.problem_type is None


@pytest.mark.parametrize("value", [None, "x", [], True, -1, 2, float("nan"), float("inf"), 10**400])
def test_an_initializer_range_that_is_no_number(value: Any) -> None:
    """The error names the config, not the weights."""
    raw = {"model_type": "bert", "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    encoder = new_encoder(raw)
    bad = {**raw, "initializer_range": value}
    with pytest.raises(CheckpointError, match=r"config.json: 'initializer_range' must be"):
        new_encoder(bad)
    with pytest.raises(CheckpointError, match=r"config.json: 'initializer_range' must be"):
        with_head(bad, encoder, "question-answering")


def test_labels_of_the_old_head_that_are_no_labels() -> None:
    raw = {"model_type": "bert", "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    encoder = new_encoder(raw)
    for key, value in (("id2label", ["a"]), ("num_labels", "three")):
        with pytest.raises(CheckpointError, match=f"config.json: '{key}' must"):
            with_head({**raw, key: value}, encoder, "sequence-classification", labels={0: "a", 1: "b"})


def test_mistakes() -> None:
    raw = {"model_type": "electra", "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    architecture = registry.architecture_of(raw)
    config = architecture.read_config(raw)
    with pytest.raises(InputError, match="has no next-sentence-prediction head"):
        missing_shapes(architecture, config, {}, "next-sentence-prediction")
    with pytest.raises(CheckpointError, match=r"encoder.layer.0.attention.self.query.weight"):
        missing_shapes(architecture, config, {"electra.encoder.layer.0.attention.self.query.weight": (16, 9)})


# An architecture of one's own: BERT's layers under other names, after a projection of narrow embeddings.


def read_config(raw: Mapping[str, Any]) -> EncoderConfig:
    own = {"hidden_size": raw["wide"], "num_hidden_layers": raw["depth"]}
    return replace(bert.read_config({**raw, **own}), embedding_size=raw["wide"] // 2)


def encode(
    ops: Ops[A], p: Params[A], config: EncoderConfig, batch: TokenBatch[A], *, only_rows: bool = False
) -> A:
    x = ops.linear(bert.embed(ops, p / "embeddings", config, batch), p / "widen")
    return bert.layers(ops, p / "blocks", config, x, batch, only_rows=only_rows)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> registry.Architecture:
    """An architecture with one registry entry."""
    made = registry.Architecture(
        model_type="own",
        class_prefix="Own",
        base_prefix="own",
        read_config=read_config,
        encode=encode,
        heads={
            name: registry.ARCHITECTURES["distilbert"].heads[name]
            for name in ("sequence-classification", "token-classification", "masked-lm")
        },
        layers="blocks",
        layer_count_key="depth",
        embeddings=("embeddings", "widen"),
    )
    monkeypatch.setattr(registry, "ARCHITECTURES", {**registry.ARCHITECTURES, "own": made})
    return made


@pytest.fixture
def folder(own: registry.Architecture, tmp_path: Path) -> Path:
    """A checkpoint of it before training, with a tokenizer."""
    path = tiny_model(tmp_path / "model")
    raw = json.loads((path / "config.json").read_text())
    changes = {"model_type": "own", "wide": raw["hidden_size"], "depth": 2, "architectures": ["OwnModel"]}
    raw = {**raw, **changes}
    del raw["hidden_size"], raw["num_hidden_layers"]
    (path / "config.json").write_text(json.dumps(raw))
    save_file(new_encoder({**raw, "initializer_range": 0.3}), path / "model.safetensors")
    return path


def test_a_custom_architecture_encodes(folder: Path) -> None:
    texts = [example.text for example in EXAMPLES[:5]]
    found = SentenceTransformer(folder, pooling="mean").encode(texts)
    exact = SentenceTransformer(folder, pooling="mean", backend="numpy").encode(texts)
    np.testing.assert_allclose(found, exact, atol=2e-5)
    assert len(np.unique(found.round(4), axis=0)) == len(texts)


@pytest.mark.parametrize("head", ["sequence-classification", "token-classification", "masked-lm"])
def test_a_custom_architecture_gets_heads(folder: Path, head: str) -> None:
    raw = json.loads((folder / "config.json").read_text())
    made, tensors = with_head(raw, load_file(folder / "model.safetensors"), head, labels={0: "a", 1: "b"})
    assert made["architectures"] == [f"Own{HEADS[head]}"]
    logits = Model(made, tensors, head=head)(np.array([[5, 6, 7]])).logits
    assert logits is not None
    width = raw["vocab_size"] if head == "masked-lm" else 2
    assert logits.shape[-1] == width
    assert np.isfinite(logits).all()
    with pytest.raises(MunjangError, match="has no question-answering head"):
        with_head(raw, tensors, "question-answering")


def test_a_custom_architecture_learns_above_frozen_layers(folder: Path, tmp_path: Path) -> None:
    options = TrainingOptions(max_steps=3, batch_size=8, device="cpu", freeze_layers=1, evaluate_first=False)
    objective = TextClassificationObjective(folder, EXAMPLES, EXAMPLES[:8], ClassificationTask(), options)
    train(objective, tmp_path / "run", options)
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("own.blocks.1.") for name in changed)


def own_masked_lm(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:
    matrix, words = root.get("own_head.out"), base["embeddings.word_embeddings.weight"]
    x = ops.linear(x, root / "own_head.narrow")
    return ops.affine(x, words if matrix is None else matrix, root["own_head.bias"])


def test_the_vocabulary_of_a_new_architecture_grows(
    own: registry.Architecture, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = registry.Head(own_masked_lm, "chosen", "own_head.bias", "ForMaskedLM", "vocabulary")
    for vocabulary in ((), ("own_head.out", "own_head.bias")):
        made = replace(own, heads={"masked-lm": replace(head, vocabulary=vocabulary)})
        monkeypatch.setattr(registry, "ARCHITECTURES", {**registry.ARCHITECTURES, "own": made})
        raw = json.loads((folder / "config.json").read_text())
        size, narrow = raw["vocab_size"], raw["wide"] // 2
        tensors = load_file(folder / "model.safetensors")
        tensors["own_head.narrow.weight"] = np.random.default_rng(0).normal(size=(narrow, raw["wide"]))
        tensors["own_head.bias"] = np.arange(size) / size
        tensors = {name: value.astype(np.float32) for name, value in tensors.items()}
        model = Model(raw, tensors, head="masked-lm")
        before = model(np.array([[5, 6, 7]])).logits
        assert before is not None
        if not vocabulary:  # the entry does not name the head's tensors
            with pytest.raises(CheckpointError, match=r"own_head.bias"):
                model.resize_token_embeddings(size + 3)
            continue
        model.resize_token_embeddings(size + 3)
        after = model(np.array([[5, 6, 7]])).logits
        assert after is not None
        assert after.shape[-1] == size + 3
        np.testing.assert_allclose(after[..., :size], before, atol=1e-5)
        tensors["own_head.out"] = tensors["own.embeddings.word_embeddings.weight"]
        with pytest.raises(InputError, match=r"separate matrix \('own_head.out'\)"):
            with_masked_head({**raw, "tie_word_embeddings": False}, tensors, seed=0)


def test_a_custom_architecture_has_students(folder: Path, tmp_path: Path) -> None:
    assert make_student(folder, tmp_path / "student", layers=[1]) == (1,)
    small = load_file(tmp_path / "student" / "model.safetensors")
    names = {name.removeprefix("own.") for name in small}
    assert {name.split(".")[1] for name in names if name.startswith("blocks.")} == {"0"}
    assert json.loads((tmp_path / "student" / "config.json").read_text())["depth"] == 1
    assert SentenceTransformer(tmp_path / "student", pooling="mean").encode("하나").shape
