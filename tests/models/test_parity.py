"""Every architecture on every executor gives the reference implementation's values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers.activations import ACT2CLS, ACT2FN

from munjang.backends.registry import BACKENDS, make_executor
from munjang.backends.torch import TorchExecutor, TorchOps
from munjang.models.batch import TokenBatch
from munjang.models.ops import ACTIVATIONS, A, Ops
from munjang.models.params import Params
from munjang.models.program import LAST_HIDDEN_STATE, LOGITS
from munjang.runtime.model import Model
from munjang.runtime.runner import unpad
from support.peers import ARCHITECTURES, random_inputs, random_peer, reference

TOLERANCE = 1e-5


@dataclass(frozen=True)
class OneActivation:
    """A program of one activation: what `rows` finds in a table, activated."""

    name: str
    taps: frozenset[str] = frozenset()

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        return {"y": ops.activation(self.name, ops.rows(root["x"], batch.input_ids))}

    @classmethod
    def run(cls, name: str, backend: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
        ids = np.arange(len(x), dtype=np.int32)
        none = np.zeros((1, 1, 1, 1), dtype=np.float32)
        batch = TokenBatch(ids, ids, ids, ids[None], none, ids, ids, none[0])
        executor = make_executor(backend, {"x": x})
        return executor.compile(cls(name))(batch)["y"]


def assert_close(
    ours: NDArray[np.float32] | None, theirs: Any, mask: NDArray[np.int64] | None = None
) -> None:
    assert ours is not None
    expected = theirs.numpy()
    assert ours.shape == expected.shape
    assert ours.dtype == np.float32
    difference = np.abs(ours - expected)
    if mask is not None:
        difference = difference[mask == 1]
    assert difference.max() < TOLERANCE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("random_mask", [False, True], ids=["lengths", "random-mask"])
def test_encoder(architecture: str, backend: str, random_mask: bool, tmp_path: Path) -> None:
    peer = random_peer(architecture, tmp_path)
    model = Model.from_pretrained(tmp_path, backend=backend)
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(1), random_mask=random_mask)
    expected = reference(peer, inputs, output_hidden_states=True, output_attentions=True)
    output = model(**inputs, output_hidden_states=True, output_attentions=True)
    mask = inputs["attention_mask"]

    assert_close(output.last_hidden_state, expected["last_hidden_state"], mask)
    assert output.hidden_states is not None
    assert len(output.hidden_states) == len(expected["hidden_states"]) == 4
    for ours, theirs in zip(output.hidden_states, expected["hidden_states"], strict=True):
        assert_close(ours, theirs, mask)
    assert output.attentions is not None
    assert len(output.attentions) == len(expected["attentions"])
    both = (mask[:, None, :, None] * mask[:, None, None, :]).repeat(4, axis=1)
    for ours, theirs in zip(output.attentions, expected["attentions"], strict=True):
        assert_close(ours, theirs, both)
    if "pooler_output" in expected:
        assert_close(output.pooler_output, expected["pooler_output"])
    else:
        assert output.pooler_output is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sequence_classification(architecture: str, backend: str, tmp_path: Path) -> None:
    peer = random_peer(architecture, tmp_path, head=True)
    model = Model.from_pretrained(tmp_path, head="sequence-classification", backend=backend)
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(2))
    output = model(**inputs)
    assert_close(output.logits, reference(peer, inputs)["logits"])
    assert output.last_hidden_state is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations(activation: str, backend: str, tmp_path: Path) -> None:
    peer = random_peer("bert", tmp_path, settings={"hidden_act": activation})
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(3))
    output = Model.from_pretrained(tmp_path, backend=backend)(**inputs)
    expected = reference(peer, inputs)["last_hidden_state"]
    assert_close(output.last_hidden_state, expected, inputs["attention_mask"])


def test_activations_are_all_that_have_no_parameters() -> None:
    learned = {name for name in ACT2CLS if any(True for _ in ACT2FN[name].parameters())}
    assert learned <= {"prelu", "xielu"}
    assert set(ACT2CLS) - learned <= ACTIVATIONS


_VALUES = [
    0.0,
    1e-30,
    1e-3,
    0.1,
    0.5,
    0.7,
    1.0,
    2.9,
    3.1,
    5.9,
    6.1,
    7.0,
    9.9,
    10.1,
    30.0,
    50.0,
    90.0,
    200.0,
    1e4,
    1e10,
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS & set(ACT2CLS)))
def test_activations_of_extreme_values(activation: str, backend: str) -> None:
    x = np.array([*_VALUES, 1e30, *(-value for value in _VALUES), -1e30], dtype=np.float32)[:, None]
    found = OneActivation.run(activation, backend, x)
    expected = ACT2FN[activation](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS & set(ACT2CLS)))
def test_gradients_of_activations(activation: str) -> None:
    """Also far below 0, where the reference's root of a softplus has none."""
    x = torch.tensor([*_VALUES, *(-value for value in _VALUES)], requires_grad=True)
    peer = x.detach().clone().requires_grad_()
    torch.autograd.backward(TorchOps().activation(activation, x).sum())
    torch.autograd.backward(ACT2FN[activation](peer).sum())
    assert x.grad is not None
    assert peer.grad is not None
    expected = peer.grad.nan_to_num(0.0) if activation == "sqrtsoftplus" else peer.grad
    torch.testing.assert_close(x.grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients(architecture: str, tmp_path: Path) -> None:
    """The gradients of all parameters equal the reference's, with dropout 0."""
    peer = random_peer(architecture, tmp_path, head=True)
    model = Model.from_pretrained(tmp_path, head="sequence-classification", backend="torch")
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(4))
    executor = model.runner.executor
    assert isinstance(executor, TorchExecutor)
    batch = unpad(
        inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"], model.runner.layout
    )
    labels = torch.tensor([0, 1, 2, 1, 0])

    outputs = executor.forward(model.program(frozenset({LOGITS})), batch)
    torch.autograd.backward(torch.nn.functional.cross_entropy(outputs[LOGITS], labels))
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    types = getattr(peer.config, "type_vocab_size", 0)
    if types != 2:
        del tensors["token_type_ids"]
    torch.autograd.backward(torch.nn.functional.cross_entropy(peer(**tensors).logits, labels))

    compared = 0
    for name, parameter in peer.named_parameters():
        ours = executor.parameters[name].grad
        if parameter.grad is None:
            assert ours is None or not ours.any()
            continue
        assert ours is not None, name
        assert torch.allclose(ours, parameter.grad, rtol=1e-3, atol=1e-5), name
        compared += 1
    assert compared > 30


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_mode_drops(architecture: str, tmp_path: Path) -> None:
    """With dropout on, training differs from inference and from itself; with rate 0 it does not."""
    zero = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if architecture == "distilbert":
        zero = {"dropout": 0.0, "attention_dropout": 0.0}
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(5))
    for settings, equal in (({}, False), (zero, True)):
        random_peer(architecture, tmp_path, settings=settings)
        model = Model.from_pretrained(tmp_path, backend="torch")
        executor = model.runner.executor
        assert isinstance(executor, TorchExecutor)
        batch = unpad(
            inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"], model.runner.layout
        )
        program = model.program(frozenset({LAST_HIDDEN_STATE}))
        first, second = (executor.forward(program, batch, training=True)[LAST_HIDDEN_STATE] for _ in range(2))
        calm = executor.forward(program, batch)[LAST_HIDDEN_STATE]
        assert torch.allclose(first, second, atol=1e-5) is equal
        assert torch.allclose(first, calm, atol=1e-5) is equal
