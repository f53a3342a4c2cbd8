"""Every head on every executor gives the reference implementation's logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from munjang.backends.registry import BACKENDS
from munjang.models.program import LOGITS
from munjang.runtime.model import Model
from munjang.runtime.runner import unpad
from support.peers import ARCHITECTURES, random_inputs, reference

TOLERANCE = 1e-4  # logits, with weights twenty times as large as trained ones

# architecture -> head -> reference class
HEADS = {
    "bert": {
        "masked-lm": "BertForMaskedLM",
        "next-sentence-prediction": "BertForNextSentencePrediction",
        "token-classification": "BertForTokenClassification",
        "question-answering": "BertForQuestionAnswering",
    },
    "roberta": {
        "masked-lm": "RobertaForMaskedLM",
        "token-classification": "RobertaForTokenClassification",
        "question-answering": "RobertaForQuestionAnswering",
    },
    "xlm-roberta": {"masked-lm": "XLMRobertaForMaskedLM"},
    "electra": {
        "masked-lm": "ElectraForMaskedLM",
        "token-classification": "ElectraForTokenClassification",
        "question-answering": "ElectraForQuestionAnswering",
    },
    "distilbert": {
        "masked-lm": "DistilBertForMaskedLM",
        "token-classification": "DistilBertForTokenClassification",
        "question-answering": "DistilBertForQuestionAnswering",
    },
}
CASES = [(architecture, head) for architecture, heads in HEADS.items() for head in heads]


def peer_with_head(architecture: str, class_name: str, folder: Path) -> Any:
    config_class, settings, _, _ = ARCHITECTURES[architecture]
    config = getattr(transformers, config_class)(**settings, num_labels=3)
    torch.manual_seed(1)
    if class_name.endswith("QuestionAnswering"):
        config.num_labels = 2
    model = getattr(transformers, class_name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("architecture", "head"), CASES)
def test_head(architecture: str, head: str, backend: str, tmp_path: Path) -> None:
    peer = peer_with_head(architecture, HEADS[architecture][head], tmp_path)
    model = Model.from_pretrained(tmp_path, head=head, backend=backend)
    assert head in model.heads
    inputs = random_inputs(np.random.default_rng(6))
    expected = reference(peer, inputs)
    if head == "question-answering":
        theirs = torch.stack([expected["start_logits"], expected["end_logits"]], dim=-1).numpy()
    else:
        theirs = expected["logits"].numpy()
    ours = model(inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"]).logits
    assert ours is not None
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs)
    if head != "next-sentence-prediction":
        difference = difference[inputs["attention_mask"] == 1]
    assert difference.max() < TOLERANCE


def gpt2_peer(folder: Path) -> Any:
    config = transformers.GPT2Config(
        vocab_size=67,
        n_embd=32,
        n_layer=3,
        n_head=4,
        n_positions=40,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(2)
    model = transformers.GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("backend", BACKENDS)
def test_gpt2(backend: str, tmp_path: Path) -> None:
    peer = gpt2_peer(tmp_path)
    inputs = random_inputs(np.random.default_rng(7))
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    with torch.no_grad():
        expected = peer(
            torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), output_hidden_states=True
        )
    model = Model.from_pretrained(tmp_path, head="causal-lm", backend=backend)
    logits = model(ids, mask).logits
    assert logits is not None
    assert np.abs(logits - expected.logits.numpy())[mask == 1].max() < TOLERANCE
    bare = Model.from_pretrained(tmp_path, head=None, backend=backend)(ids, mask).last_hidden_state
    assert bare is not None
    assert np.abs(bare - expected.hidden_states[-1].numpy())[mask == 1].max() < TOLERANCE


def test_gradients_reach_tied_weights(tmp_path: Path) -> None:
    peer = peer_with_head("bert", "BertForMaskedLM", tmp_path)
    model = Model.from_pretrained(tmp_path, head="masked-lm", backend="torch")
    inputs = random_inputs(np.random.default_rng(8), pairs=False)
    executor: Any = model.runner.executor
    batch = unpad(
        inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"], model.runner.layout
    )
    rows = np.array([3, 20], dtype=np.int32)
    out = executor.forward(model.program(frozenset({LOGITS})), replace(batch, rows=rows))[LOGITS]
    labels = torch.tensor([5, 9])
    torch.autograd.backward(torch.nn.functional.cross_entropy(out, labels))
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    theirs = peer(**tensors).logits[torch.from_numpy(inputs["attention_mask"]) == 1][[3, 20]]
    torch.autograd.backward(torch.nn.functional.cross_entropy(theirs, labels))
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.allclose(executor.parameters[name].grad, peer.get_parameter(name).grad, atol=1e-5, rtol=1e-3)


VOCABULARY_HEADS = [(name, "masked-lm", heads["masked-lm"]) for name, heads in HEADS.items()]


@pytest.mark.parametrize(("architecture", "head", "class_name"), VOCABULARY_HEADS)
def test_heads_are_resized_with_the_vocabulary(
    architecture: str, head: str, class_name: str, tmp_path: Path
) -> None:
    peer_with_head(architecture, class_name, tmp_path)
    check_growth(tmp_path, head, class_name)


def test_gpt2_grows_with_the_vocabulary(tmp_path: Path) -> None:
    gpt2_peer(tmp_path)
    check_growth(tmp_path, "causal-lm", "GPT2LMHeadModel")


def check_growth(folder: Path, head: str, class_name: str) -> None:
    inputs = random_inputs(np.random.default_rng(9), pairs=False)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    model = Model.from_pretrained(folder, head=head)
    before = model(ids, mask).logits
    assert before is not None
    size = before.shape[-1]
    model.resize_token_embeddings(size + 2, {size + 1: [7, 9]})
    after = model(ids, mask).logits
    assert after is not None
    assert after.shape[-1] == size + 2
    np.testing.assert_allclose(after[..., :size], before, atol=TOLERANCE)
    np.testing.assert_allclose(after[..., size], before.mean(axis=-1), atol=TOLERANCE)
    np.testing.assert_allclose(after[..., size + 1], before[..., [7, 9]].mean(axis=-1), atol=TOLERANCE)

    model.save_pretrained(folder / "grown")
    peer = getattr(transformers, class_name).from_pretrained(folder / "grown").eval()
    with torch.no_grad():
        theirs = peer(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.numpy()
    assert np.abs(after - theirs)[mask == 1].max() < TOLERANCE
