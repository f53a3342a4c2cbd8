"""A config that contradicts the weights or is unsupported is refused, with the key or tensor."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from munjang.backends.registry import BACKENDS
from munjang.checkpoints import open_checkpoint
from munjang.errors import CheckpointError, MunjangError, UnsupportedModelError
from munjang.runtime.model import Model
from support.peers import random_peer

HEAD = "sequence-classification"


class Parts(NamedTuple):
    config: dict[str, Any]
    weights: dict[str, Any]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A valid checkpoint's config and weights, to be damaged by tests."""

    @cache
    def read(architecture: str, head: bool) -> Parts:
        folder = tmp_path_factory.mktemp(architecture)
        random_peer(architecture, folder, head=head)
        checkpoint = open_checkpoint(folder)
        return Parts(checkpoint.config(), dict(checkpoint.weights()))

    def fresh(architecture: str = "bert", *, head: bool = False) -> Parts:
        config, weights = read(architecture, head)
        return Parts(dict(config), dict(weights))

    return fresh


def refused(parts: Parts, kind: type[MunjangError], *words: str, head: str | None = None) -> None:
    """Assert that opening fails with an error of one line that contains all of the words."""
    with pytest.raises(kind) as caught:
        Model(parts.config, parts.weights, head=head, backend="numpy")
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_intact_models_open(parts: Any) -> None:
    for architecture in ("bert", "roberta", "electra", "distilbert"):
        Model(*parts(architecture))
        Model(*parts(architecture, head=True), head=HEAD)


# The config asks for something that we do not have


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("position_embedding_type", "relative_key_query"),
        ("position_embedding_type", "rotary"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("pruned_heads", {"1": [0, 2]}),
        ("quantization_config", {"quant_method": "bitsandbytes"}),
    ],
)
@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "electra", "distilbert"])
def test_other_arithmetic(name: str, value: Any, architecture: str, parts: Any) -> None:
    spoilt = parts(architecture)
    spoilt.config[name] = value
    refused(spoilt, UnsupportedModelError, f"'{name}'", repr(value))


@pytest.mark.parametrize("name", ["hidden_act", "activation"])
def test_unknown_activation(name: str, parts: Any) -> None:
    spoilt = parts("bert" if name == "hidden_act" else "distilbert")
    spoilt.config[name] = "prelu"
    refused(spoilt, UnsupportedModelError, "'prelu'", "gelu_new")


def test_unknown_model_type(parts: Any) -> None:
    spoilt = parts()
    for unknown in ("llama", "BERT", "bert "):
        spoilt.config["model_type"] = unknown
        refused(spoilt, UnsupportedModelError, f"'{unknown}'", "xlm-roberta")
    for no_name in (None, 7, ["bert"]):
        spoilt.config["model_type"] = no_name
        refused(spoilt, CheckpointError, "no 'model_type'")
    del spoilt.config["model_type"]
    refused(spoilt, CheckpointError, "no 'model_type'")


# The config's values are of the wrong kind

COUNTS = {
    "bert": [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
    ],
    "electra": ["embedding_size"],
    "distilbert": ["dim", "n_layers", "n_heads", "hidden_dim"],
}
OWN_NAMES = {  # DistilBERT's own words for the same numbers
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
}


@pytest.mark.parametrize("value", ["32", True, 32.0, [32], {}])
@pytest.mark.parametrize(
    ("architecture", "name"), [(a, name) for a, names in COUNTS.items() for name in names]
)
def test_numbers_of_the_wrong_type(architecture: str, name: str, value: Any, parts: Any) -> None:
    spoilt = parts(architecture)
    spoilt.config[name] = value
    refused(spoilt, CheckpointError, f"'{name}' must be of type int", repr(value))


@pytest.mark.parametrize("value", [0, -4])
@pytest.mark.parametrize(
    ("architecture", "name"), [(a, name) for a, names in COUNTS.items() for name in names]
)
def test_numbers_that_are_too_small(architecture: str, name: str, value: int, parts: Any) -> None:
    spoilt = parts(architecture)
    spoilt.config[name] = value
    refused(spoilt, CheckpointError, f"'{OWN_NAMES.get(name, name)}' must be at least 1", str(value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layer_norm_eps", -1e-5),
        ("layer_norm_eps", math.nan),
        ("layer_norm_eps", math.inf),
        ("hidden_dropout_prob", 1.5),
        ("attention_probs_dropout_prob", -0.1),
        ("classifier_dropout", math.nan),
        ("type_vocab_size", -1),
    ],
)
def test_numbers_out_of_range(name: str, value: float, parts: Any) -> None:
    spoilt = parts()
    spoilt.config[name] = value
    refused(spoilt, CheckpointError, f"'{name}' must be", str(value))


HUGE: tuple[Any, ...] = (
    10**400,
    -(10**400),
    10**5000,
    2**31,
    2**63,
    True,
    math.inf,
    math.nan,
    "12",
    [12],
    {},
    1.5,
)


@pytest.mark.parametrize("value", HUGE, ids=[f"{i}" for i in range(len(HUGE))])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "distilbert"])
def test_impossible_numbers_in_a_config(architecture: str, value: Any, parts: Any) -> None:
    sound = parts(architecture, head=True).config
    numbers = [name for name, old in sound.items() if isinstance(old, (int, float)) and old is not True]
    messages: list[str] = []
    for name in [*numbers, "num_labels", "pad_token_id", "layer_norm_eps"]:
        spoilt = parts(architecture, head=True)
        spoilt.config[name] = value
        if name == "num_labels":
            spoilt.config["id2label"] = None
        try:
            Model(*spoilt, head=HEAD, backend="numpy")  # not all of them mean anything to us
        except (CheckpointError, UnsupportedModelError) as error:
            messages.append(str(error))
    assert len(messages) >= 8
    assert max(map(len, messages)) < 500


def test_a_config_with_a_huge_number_of_labels(parts: Any) -> None:
    spoilt = parts(head=True)
    spoilt.config.update(id2label=None, num_labels=10**12)
    refused(spoilt, CheckpointError, "'num_labels' must be between 0 and 1000000", str(10**12), head=HEAD)


@pytest.mark.parametrize("value", [-1, 67, 1000])
def test_padding_token_that_positions_count_from(value: int, parts: Any) -> None:
    spoilt = parts("roberta")
    spoilt.config["pad_token_id"] = value
    refused(spoilt, CheckpointError, "'pad_token_id' must be between 0 and 66", str(value))


def test_no_room_for_positions(parts: Any) -> None:
    spoilt = parts("roberta")
    spoilt.config["pad_token_id"] = 50
    refused(spoilt, CheckpointError, "'max_position_embeddings' must be at least 52", "40")


def test_heads_that_do_not_divide(parts: Any) -> None:
    spoilt = parts()
    spoilt.config["num_attention_heads"] = 5
    refused(spoilt, CheckpointError, "'hidden_size' (32)", "'num_attention_heads' (5)")


@pytest.mark.parametrize(
    "labels", [["a", "b"], {"one": "a"}, "a", 3, {"0.5": "a"}, {"null": "a"}, {"0": "a", "1": "b", "3": "c"}]
)
def test_broken_labels(labels: Any, parts: Any) -> None:
    spoilt = parts(head=True)
    spoilt.config["id2label"] = labels
    refused(spoilt, CheckpointError, "'id2label'", head=HEAD)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "distilbert"])
@pytest.mark.parametrize("labels", [{"0": "no", "1": "yes"}, {}, {str(i): "x" for i in range(9)}])
def test_other_labels_than_the_weights_have(labels: dict[str, str], architecture: str, parts: Any) -> None:
    spoilt = parts(architecture, head=True)
    spoilt.config["id2label"] = labels
    refused(spoilt, CheckpointError, "3 logits", f"'id2label' names {len(labels)}", head=HEAD)


def test_number_of_labels_of_the_wrong_type(parts: Any) -> None:
    spoilt = parts(head=True)
    spoilt.config.update(id2label=None, num_labels="three")
    refused(spoilt, CheckpointError, "'num_labels' must be of type int", "'three'", head=HEAD)


# The weights do not fit


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "distilbert"])
def test_every_missing_tensor_is_named(architecture: str, parts: Any) -> None:
    sound = parts(architecture, head=True)
    # A linear layer's bias may be absent by design (some models are made so); everything else must be there.
    for name in [n for n in sound.weights if n.endswith(".weight") and "embeddings_project" not in n]:
        spoilt = parts(architecture, head=True)
        del spoilt.weights[name]
        refused(
            spoilt, CheckpointError, name.partition(".")[2] if "classifier" not in name else name, head=HEAD
        )


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "distilbert"])
def test_every_misshapen_tensor_is_found(architecture: str, parts: Any) -> None:
    sound = parts(architecture, head=True)
    for name, tensor in sound.weights.items():
        for shape in ((tensor.shape[0] + 1, *tensor.shape[1:]), (*tensor.shape, 1), ()):
            spoilt = parts(architecture, head=True)
            spoilt.weights[name] = np.zeros(shape, dtype=np.float32)
            with pytest.raises(CheckpointError):
                Model(*spoilt, head=HEAD, backend="numpy")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("vocab_size", 66, ("word_embeddings.weight", "[67, 32]", "[66, 32]")),
        ("vocab_size", 68, ("word_embeddings.weight", "[67, 32]", "[68, 32]")),
        ("max_position_embeddings", 512, ("position_embeddings.weight", "[40, 32]", "[512, 32]")),
        ("max_position_embeddings", 20, ("position_embeddings.weight", "[40, 32]", "[20, 32]")),
        ("type_vocab_size", 1, ("token_type_embeddings.weight", "[2, 32]", "[1, 32]")),
        ("hidden_size", 64, ("word_embeddings.weight", "[67, 32]", "[67, 64]")),
        ("intermediate_size", 96, ("'layer.0.intermediate'", "48", "96")),
    ],
)
def test_sizes_that_the_weights_do_not_have(
    name: str, value: int, words: tuple[str, ...], parts: Any
) -> None:
    spoilt = parts()
    spoilt.config[name] = value
    refused(spoilt, CheckpointError, *words)


def test_layers_that_the_config_does_not_mention(parts: Any) -> None:
    for architecture, name in (("bert", "num_hidden_layers"), ("distilbert", "n_layers")):
        fewer, more = parts(architecture, head=True), parts(architecture, head=True)
        fewer.config[name] = 2
        refused(fewer, CheckpointError, "does not use", ".layer.2.", "more", head=HEAD)
        more.config[name] = 4
        refused(more, CheckpointError, "has no tensor", ".layer.3.", head=HEAD)


def test_embeddings_project_must_belong(parts: Any) -> None:
    without = parts("electra")
    del without.weights["embeddings_project.weight"]
    refused(without, CheckpointError, "'embeddings_project.weight'")
    with_it = parts("electra-wide")
    with_it.weights["embeddings_project.weight"] = np.zeros((32, 32), dtype=np.float32)
    refused(with_it, CheckpointError, "does not use", "embeddings_project.weight")


def test_buffers_and_unknown_heads_are_ignored(parts: Any) -> None:
    """Buffers that old versions of the reference saved, and heads that were not requested."""
    extended = parts()
    extended.weights["embeddings.position_ids"] = np.arange(40)[None]
    extended.weights["embeddings.token_type_ids"] = np.zeros((1, 40), dtype=np.int64)
    extended.weights["cls.predictions.bias"] = np.zeros(67, dtype=np.float32)
    for backend in BACKENDS:
        Model(*extended, backend=backend)([5, 6])


@pytest.mark.parametrize("backend", BACKENDS)
def test_quantised_weights_without_a_config_key(backend: str, parts: Any) -> None:
    spoilt = parts()
    name = "encoder.layer.1.output.dense.weight"
    spoilt.weights[name] = np.ones(spoilt.weights[name].shape, dtype=np.int8)
    with pytest.raises(CheckpointError, match=f"'{name}' holds numbers of type int8"):
        Model(*spoilt, backend=backend)([5, 6])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", [np.float16, np.float64])
def test_arrays_of_other_precision(precision: Any, backend: str, parts: Any) -> None:
    """A caller's own arrays, not read from a file, become single precision too."""
    config, weights = parts()
    expected = Model(config, weights, backend="numpy")([5, 6]).last_hidden_state
    other = {name: value.astype(precision) for name, value in weights.items()}
    output = Model(config, other, backend=backend)([5, 6]).last_hidden_state
    assert output is not None
    assert output.dtype == np.float32
    assert expected is not None
    assert np.abs(output - expected).max() < (0.05 if precision is np.float16 else 1e-5)
