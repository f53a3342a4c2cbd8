"""The check of compiled programs: wrong values on a stream, wrong values everywhere, fused products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from munjang.backends import openvino
from munjang.backends.engine_check import differ, first_layer, fused_products, probe
from munjang.backends.numpy import NumpyExecutor
from munjang.backends.openvino import OpenVINOExecutor, OpenVINOOps
from munjang.errors import EngineError, EngineWarning
from munjang.models.program import LAST_HIDDEN_STATE
from munjang.runtime.model import Model
from support.peers import ARCHITECTURES, random_inputs, random_peer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    random_peer("bert", path)
    return path


def compiled(model: Model) -> Any:
    return model.runner.compiled(model.program(frozenset({LAST_HIDDEN_STATE})))


def hidden_states(model: Model) -> Any:
    inputs: dict[str, Any] = random_inputs(np.random.default_rng(0))
    return model(**inputs, outputs=[LAST_HIDDEN_STATE]).last_hidden_state


@pytest.fixture
def expected(folder: Path) -> Any:
    return hidden_states(Model.from_pretrained(folder, backend="numpy"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_first_layer_is_that_of_the_whole_model(architecture: str, tmp_path: Path) -> None:
    random_peer(architecture, tmp_path)
    model = Model.from_pretrained(tmp_path)
    program = model.program(frozenset({LAST_HIDDEN_STATE}))
    row = first_layer(program, model.weights)
    assert row is not None
    every_value = NumpyExecutor(model.weights).every_value(program, probe())
    np.testing.assert_array_equal(row, every_value["layer.0"][:1])
    assert compiled(model).fault(row) is None
    assert compiled(model).fault(row * 1.01) == "the first layer differs from NumPy's"


def test_one_wrong_stream_is_found(folder: Path, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Corrupt the values that are read from a request, on every second request of several streams."""
    right, seen = openvino._values, []

    def spoilt(request: Any) -> Any:
        seen.append(request)
        values = right(request)
        if len(seen) % 2 and request.get_compiled_model().get_property("NUM_STREAMS") > 1:
            values[0] = values[0] + 1
        return values

    monkeypatch.setattr(openvino, "_values", spoilt)
    model = Model.from_pretrained(folder, threads=2, streams=2)
    with pytest.warns(EngineWarning, match="2 streams .two runs of one text differ.; the model runs on one"):
        program = compiled(model)
    assert program._compiled.get_property("NUM_STREAMS") == 1
    np.testing.assert_allclose(hidden_states(model), expected, atol=1e-5)


def test_a_fault_that_disappears_at_the_second_compilation(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, seen = openvino._values, []

    def spoilt(request: Any) -> Any:
        seen.append(request)
        return [value + (len(seen) == 1) for value in right(request)]

    monkeypatch.setattr(openvino, "_values", spoilt)
    program = compiled(Model.from_pretrained(folder, threads=2, streams=2))
    assert program._compiled.get_property("NUM_STREAMS") == 2


def test_products_that_are_fused_are_refused_on_several_streams(
    folder: Path, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph without `_unfused`: the engine fuses its products."""
    monkeypatch.setattr(OpenVINOOps, "_unfused", lambda self, x: x)
    model = Model.from_pretrained(folder, threads=2, streams=2)
    with pytest.warns(EngineWarning, match="products are fused, such as .*Gelu"):
        program = compiled(model)
    assert program._compiled.get_property("NUM_STREAMS") == 1
    assert fused_products(program._compiled)
    np.testing.assert_allclose(hidden_states(model), expected, atol=1e-5)


def test_wrong_values_with_any_number_of_streams_are_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = openvino._values
    monkeypatch.setattr(openvino, "_values", lambda request: [value * 1.1 for value in right(request)])
    model = Model.from_pretrained(folder, threads=2, streams=2)
    message = r"the first layer differs from NumPy's.*backend='numpy'"
    with pytest.warns(EngineWarning), pytest.raises(EngineError, match=message):
        compiled(model)


def test_programs_for_single_calls_and_sessions_are_checked_too(folder: Path) -> None:
    model = Model.from_pretrained(folder, threads=2)
    executor = model.runner.executor
    assert isinstance(executor, OpenVINOExecutor)
    program = model.program(frozenset({LAST_HIDDEN_STATE}))
    alone = executor.for_sessions().compile(program)
    assert alone.fault(first_layer(program, model.weights)) is None
    assert fused_products(alone._compiled) == []
    rounded = executor.for_sessions(eight_bit=True)
    assert rounded._reference(program) is None


@pytest.mark.parametrize(
    ("values", "expected", "apart"),
    [
        ([1.0, 2.0], [1.0, 2.0], False),
        ([1.0, 2.001], [1.0, 2.0], False),
        ([1.0, 2.01], [1.0, 2.0], True),
        ([float("nan"), 2.0], [float("nan"), 2.0], False),
        ([float("nan"), 2.0], [1.0, 2.0], True),
        ([0.0], [0.0], False),
        ([], [], False),
    ],
)
def test_unequal_values(values: list[float], expected: list[float], apart: bool) -> None:
    assert differ(np.array(values, np.float32), np.array(expected, np.float32)) is apart
