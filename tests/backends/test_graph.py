"""Only requested values are computed: the OpenVINO graph, and the values that the others keep."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest

from munjang.backends.executor import as_float32
from munjang.backends.numpy import NumpyOps
from munjang.backends.openvino import build_graph
from munjang.backends.registry import BACKENDS
from munjang.backends.torch import TorchExecutor, TorchOps, to_tensor
from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.params import MadeOnce, Params
from munjang.models.program import LAST_HIDDEN_STATE, LOGITS, POOLER_OUTPUT
from munjang.runtime.model import Model
from munjang.runtime.runner import unpad
from support.peers import ARCHITECTURES, random_inputs, random_peer

LAYERS = 3
TOKENS, ROWS = 7, 2
SIZES = {
    "input_ids": [TOKENS],
    "position_ids": [TOKENS],
    "token_type_ids": [TOKENS],
    "pad_index": [3, 4],
    "attention_bias": [3, 1, 1, 4],
    "unpad_index": [TOKENS],
    "rows": [ROWS],
}
OUTPUT_OF_LAYER = {
    "bert": ["attention.output.dense", "intermediate.dense", "output.dense"],
    "distilbert": ["attention.out_lin", "ffn.lin1", "ffn.lin2"],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def make(architecture: str, backend: str = "openvino") -> Model:
        folder = tmp_path_factory.mktemp(architecture)
        random_peer(architecture, folder, head=True)
        return Model.from_pretrained(folder, head="sequence-classification", backend=backend)

    return make


def batch_for(model: Model) -> TokenBatch[Any]:
    inputs = random_inputs(np.random.default_rng(0))
    return unpad(inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"], model.runner.layout)


def graph_of(model: Model, *outputs: str, taps: frozenset[str] = frozenset()) -> Any:
    graph = build_graph(model.program(frozenset(outputs), taps), model.weights)
    checked = 1 if outputs else 0  # the first layer's row
    assert len(graph.model.results) == len(graph.outputs) + checked
    assert set(graph.outputs) == {*outputs, *taps}
    assert all(name.startswith("number.") for name in graph.fixed)  # its tables are small
    return graph.model


def weights_in(graph: Any) -> set[str]:
    return {op.get_friendly_name() for op in graph.get_ops() if op.get_type_name() == "Constant"}


def kinds_in(graph: Any) -> Counter[str]:
    return Counter(op.get_type_name() for op in graph.get_ops())


def inputs_of(graph: Any) -> list[str]:
    return [port.get_any_name() for port in graph.inputs]


def rows_by_weight(graph: Any) -> dict[str, int]:
    """Return how many rows each matrix of weights is multiplied with, for a batch of 7 tokens and 2 rows."""
    graph.reshape({name: SIZES.get(name, [1]) for name in inputs_of(graph)})  # a number is [1]
    products = [op for op in graph.get_ordered_ops() if op.get_type_name() == "MatMul"]
    return {op.input_value(1).get_node().get_friendly_name(): op.output(0).get_shape()[0] for op in products}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_head_where_the_last_hidden_state_is_enough(architecture: str, models: Any) -> None:
    graph = graph_of(models(architecture), LAST_HIDDEN_STATE)
    assert [name for name in weights_in(graph) if "pooler" in name or "classifier" in name] == []
    assert not {"rows", "pool_weights"} & set(inputs_of(graph))
    assert ("token_type_ids" in inputs_of(graph)) is (architecture != "distilbert")
    assert kinds_in(graph)["Softmax"] == 0
    assert kinds_in(graph)["ScaledDotProductAttention"] == LAYERS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_last_layer_runs_on_the_rows_alone(architecture: str, models: Any) -> None:
    model = models(architecture)
    steps = OUTPUT_OF_LAYER.get(architecture, OUTPUT_OF_LAYER["bert"])
    for output in (LOGITS, *([POOLER_OUTPUT] if model.has_pooler else [])):
        rows = rows_by_weight(graph_of(model, output))
        for layer in range(LAYERS):
            found = [
                count for name, count in rows.items() for step in steps if f".{layer}.{step}.weight" in name
            ]
            assert found == [ROWS if layer == LAYERS - 1 else TOKENS] * len(steps)
        heads = [count for name, count in rows.items() if "classifier" in name or "pooler" in name]
        assert heads
        assert set(heads) == {ROWS}
    everything = rows_by_weight(graph_of(model, LAST_HIDDEN_STATE))
    assert set(everything.values()) == {TOKENS}


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_a_tap_adds_one_result(architecture: str, models: Any) -> None:
    model = models(architecture)
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(0))
    for tap in model.every_value(**inputs):
        if tap not in (LAST_HIDDEN_STATE, POOLER_OUTPUT, LOGITS):
            assert len(graph_of(model, LOGITS, taps=frozenset({tap})).results) == 3


def test_attention_probabilities_only_where_they_are_tapped(models: Any) -> None:
    graph = graph_of(models("bert"), LOGITS, taps=frozenset({"layer.1.attention.probabilities"}))
    assert kinds_in(graph)["Softmax"] == 1
    assert kinds_in(graph)["ScaledDotProductAttention"] == LAYERS - 1


def test_the_graph_ends_at_the_only_requested_tap(models: Any) -> None:
    graph = graph_of(models("bert"), taps=frozenset({"layer.0.query"}))
    assert [name for name in weights_in(graph) if ".layer.1." in name or "intermediate" in name] == []
    assert inputs_of(graph) == ["input_ids", "position_ids", "token_type_ids"]


def test_compiled_programs(models: Any) -> None:
    """The compiled graph has only the requested results, and no separate softmax."""
    model = models("bert")
    for outputs in ({LAST_HIDDEN_STATE}, {LOGITS}, {LAST_HIDDEN_STATE, POOLER_OUTPUT}):
        compiled = model.runner.compiled(model.program(frozenset(outputs)))._compiled
        layers = Counter(
            op.get_rt_info()["layerType"].astype(str) for op in compiled.get_runtime_model().get_ops()
        )
        assert layers["Output"] == len(outputs) + 1  # with the first layer's row
        assert layers["Softmax"] == 0
        assert layers["Input"] == len(compiled.inputs) == 8 + (outputs != {LAST_HIDDEN_STATE})


class Counted(dict[str, Any]):
    """Weights that record which tensors were read."""

    def __init__(self, weights: Any) -> None:
        super().__init__({name: weights[name] for name in weights})
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.used.add(name)
        return super().__getitem__(name)


def test_numpy_and_torch_compute_only_requested_values(models: Any) -> None:
    model = models("bert")
    batch = batch_for(model)
    taps = frozenset({"layer.1.attention.probabilities", "embeddings"})
    program = model.program(frozenset({LAST_HIDDEN_STATE}), taps)
    weights = Counted(model.weights)
    for_numpy, for_torch = NumpyOps(taps), TorchOps(taps)
    outputs = program(for_numpy, Params(weights), batch)
    tensors = Counted({name: to_tensor(value) for name, value in model.weights.items()})
    outputs |= program(for_torch, Params(tensors), batch.map(to_tensor))
    assert for_numpy.kept.keys() == for_torch.kept.keys() == taps
    assert outputs.keys() == {LAST_HIDDEN_STATE}
    assert weights.used == tensors.used
    assert [name for name in weights.used if "pooler" in name or "classifier" in name] == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tap_that_does_not_exist(backend: str, models: Any) -> None:
    model = models("bert", backend)
    program = model.program(frozenset({LOGITS}), frozenset({"layer.7", "embeddings"}))
    batch = batch_for(model)
    with pytest.raises(InputError, match=r"no value named 'layer.7' on the way to logits"):
        model.runner.run_batch(program, batch)
    if backend == "torch":
        assert isinstance(model.runner.executor, TorchExecutor)
        with pytest.raises(InputError, match=r"no value named 'layer.7'"):
            model.runner.executor.forward(program, batch)


def test_weights_are_created_once_on_request() -> None:
    made: list[str] = []

    def make(name: str, array: Any) -> Any:
        made.append(name)
        return as_float32(name, array)

    arrays: dict[str, Any] = {"a": np.ones(3, np.float16), "b": np.ones(3, np.float32)}
    weights = MadeOnce(arrays, make)
    assert len(weights) == 2
    assert list(weights) == ["a", "b"]
    assert "a" in weights
    assert made == []
    assert weights["a"] is weights["a"]
    assert weights["a"].dtype == np.float32
    assert weights["b"] is arrays["b"]
    assert made == list(weights.made) == ["a", "b"]
