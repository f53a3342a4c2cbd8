"""Invalid calls, each with an error of one line."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from munjang.backends.registry import BACKENDS
from munjang.errors import InputError, InputTypeError, MunjangError
from munjang.runtime.model import Model
from munjang.runtime.runner import Runner
from munjang.tokenization import TokenIds
from support.peers import random_peer


@pytest.fixture(scope="module")
def open_model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def make(architecture: str = "bert", backend: str = "openvino") -> Model:
        folder = tmp_path_factory.mktemp(architecture)
        random_peer(architecture, folder)
        return Model.from_pretrained(folder, backend=backend)

    return make


def one_line(caught: pytest.ExceptionInfo[MunjangError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


GOOD = [[5, 6, 7], [8, 9, 10]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_ids": [[5, 67]]}, "Token id 67 is outside the model's range of 0 to 66"),
        ({"input_ids": [[5, -1]]}, "Token id -1 is outside"),
        ({"input_ids": [[5, 2**32 + 5]]}, "Token id 4294967301 is outside"),
        ({"input_ids": [[5] * 41]}, "Text 0 has 41 tokens, the model takes 40 at most"),
        ({"input_ids": [[5.0, 6.0]]}, "input_ids must be whole numbers of shape [B, L], got float64"),
        ({"input_ids": [["a", "b"]]}, "input_ids must be whole numbers"),
        ({"input_ids": [[True, False]]}, "input_ids must be whole numbers"),
        ({"input_ids": [[5, 6], [7]]}, "input_ids: the rows have different lengths; tokenize with padding"),
        ({"input_ids": [[[5]]]}, "got int64 of shape (1, 1, 1)"),
        ({"input_ids": 5}, "got int64 of shape ()"),
        ({"input_ids": [[5, None]]}, "input_ids must be whole numbers"),
        ({"input_ids": [[10**30]]}, "input_ids must be whole numbers"),
        ({"input_ids": []}, "no tokens"),
        ({"input_ids": [[]]}, "no tokens"),
        ({"input_ids": np.zeros((0, 5), dtype=np.int64)}, "There is no text"),
        ({"attention_mask": [[1, 1, 1], [0, 0, 0]]}, "Text 1 has no tokens, or all are masked"),
        ({"attention_mask": [[1, 1]]}, "attention_mask has shape (1, 2), input_ids has (2, 3)"),
        ({"attention_mask": [[1.0] * 3] * 2}, "attention_mask must be whole numbers"),
        ({"token_type_ids": [[0, 0, 2], [0, 0, 0]]}, "Token type 2 is outside the model's range of 0 to 1"),
        ({"token_type_ids": [[0, -1, 0], [0, 0, 0]]}, "Token type -1 is outside"),
        ({"token_type_ids": [[0, 2**32, 0], [0, 0, 0]]}, "Token type 4294967296 is outside"),
        ({"token_type_ids": [[0]]}, "token_type_ids has shape (1, 1)"),
        ({"outputs": ["last_hidden"]}, "Unknown output 'last_hidden'; there are last_hidden_state, logits"),
        ({"outputs": []}, "Nothing was asked for"),
        ({"outputs": ["logits"]}, "Logits need a head: open the model with head=...; the checkpoint has "),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], words: str, backend: str, open_model: Any) -> None:
    model = open_model("bert", backend)
    with pytest.raises(InputError) as caught:
        model(**{"input_ids": GOOD, **arguments})
    assert words in one_line(caught)
    assert model(GOOD).last_hidden_state.shape == (2, 3, 32)  # and the next call is answered


def test_a_string_of_outputs(open_model: Any) -> None:
    with pytest.raises(InputTypeError, match="outputs must be a list of names, got 'logits'"):
        open_model()(GOOD, outputs="logits")


def test_masks_of_booleans_and_other_whole_numbers(open_model: Any) -> None:
    model = open_model()
    mask = np.array([[1, 1, 0], [1, 1, 1]])
    expected = model(GOOD, mask).last_hidden_state
    for kind in ("bool", "int8", "uint8", "uint64"):
        np.testing.assert_array_equal(model(GOOD, mask.astype(kind)).last_hidden_state, expected)
    for kind in ("int16", "uint32"):
        output = model(np.array(GOOD, dtype=kind), mask).last_hidden_state
        np.testing.assert_array_equal(output, expected)


def test_roberta_positions_start_after_the_padding_id(open_model: Any) -> None:
    with pytest.raises(InputError, match="Text 0 has 39 tokens, the model takes 38 at most"):
        open_model("roberta")([[5] * 39])


def test_left_padding_beyond_the_last_position(open_model: Any) -> None:
    ids, mask = np.full((1, 45), 5), np.zeros((1, 45), dtype=int)
    mask[0, -3:] = 1
    with pytest.raises(InputError, match="Position 44 is outside the model's range of 0 to 39"):
        open_model("bert")(ids, mask)
    mask = mask[:, ::-1]
    assert open_model("bert")(ids, mask).last_hidden_state.shape == (1, 45, 32)


def test_unknown_head_and_backend(open_model: Any) -> None:
    model = open_model()
    parts = (model.raw_config, model.weights)
    with pytest.raises(InputError, match="no ner head; it can have token-classification"):
        Model(*parts, head="ner")
    with pytest.raises(InputError, match="Unknown backend 'onnx'; there are openvino, numpy, torch"):
        Model(*parts, backend="onnx")


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_and_streams(backend: str, open_model: Any) -> None:
    model = open_model()

    def reopen(**options: Any) -> Model:
        return Model(model.raw_config, model.weights, backend=backend, **options)

    for name in ("threads", "streams"):
        for value in (0, -2):
            with pytest.raises(InputError, match=f"{name} must be at least 1, got {value}"):
                reopen(**{name: value})
        for wrong in (1.5, "2", True):
            with pytest.raises(InputTypeError, match=f"{name} must be a whole number, got {wrong!r}"):
                reopen(**{name: wrong})
    if backend == "openvino":
        with pytest.raises(InputError, match=r"streams \(3\) must not exceed threads \(2\)"):
            reopen(threads=2, streams=3)
    assert reopen(threads=2, streams=1)(GOOD).last_hidden_state is not None


def texts(*lengths: int, ids: int = 5) -> list[TokenIds]:
    return [TokenIds([ids] * length) for length in lengths]


def test_errors_of_the_runner_have_the_index_of_the_caller(open_model: Any) -> None:
    """The index of the text is that in the caller's list, not that in a request of similar lengths."""
    runner: Runner = open_model().runner
    program = open_model().program(frozenset({"last_hidden_state"}))
    for given, words in (
        (texts(3, 4, 41, 5), "Text 2 has 41 tokens, the model takes 40"),
        (texts(3, 4, 5, 0), "Text 3 has no tokens"),
        ([*texts(3), *texts(4, ids=67)], "Token id 67 is outside"),
    ):
        with pytest.raises(InputError) as caught:
            list(runner.run(program, given))
        assert words in one_line(caught)
    assert list(runner.run(program, [])) == []
    with pytest.raises(InputError, match="token_budget must be at least 1, got -5"):
        list(runner.run(program, texts(3), token_budget=-5))
