"""Every key of a config has the same effect as in the reference, or is refused.

The weights stay as they are and one key of ``config.json`` changes at a time, among all that the reference's
config classes have, the general names that they take for their own, and some of older versions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file

from munjang.backends.registry import BACKENDS
from munjang.errors import CheckpointError, MunjangError
from munjang.models.registry import ARCHITECTURES
from munjang.runtime.model import Model
from support.peers import ARCHITECTURES as PEERS
from support.peers import random_inputs

TOLERANCE = 1e-4  # logits, with weights twenty times as large as trained ones

_GPT2 = {
    "vocab_size": 67,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 40,
    "n_inner": 48,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bert": ("Bert", PEERS["bert"][1]),
    "roberta": ("Roberta", PEERS["roberta-two-types"][1]),
    "xlm-roberta": ("XLMRoberta", PEERS["xlm-roberta"][1]),
    "electra": ("Electra", PEERS["electra"][1]),
    "distilbert": ("DistilBert", PEERS["distilbert"][1]),
    "gpt2": ("GPT2", _GPT2),
}
_HEADS = {
    "masked-lm": "ForMaskedLM",
    "sequence-classification": "ForSequenceClassification",
    "causal-lm": "LMHeadModel",
}
CASES = [
    (family, head)
    for family in _FAMILIES
    for head in (("causal-lm",) if family == "gpt2" else ("masked-lm", "sequence-classification"))
]

# Values that may matter; a key that is not here gets another value of its default's type.
_SIZES: Mapping[str, list[Any]] = {
    "hidden_size": [16, 64],
    "embedding_size": [24],
    "num_attention_heads": [2, 8],
    "num_hidden_layers": [2, 4],
    "max_position_embeddings": [30],
    "intermediate_size": [64],
    "type_vocab_size": [0, 1, 3],
    "vocab_size": [60, 80],
    "dim": [16],
    "hidden_dim": [64],
    "n_heads": [2],
    "n_layers": [2, 4],
    "n_embd": [16],
    "n_head": [2],
    "n_layer": [2, 4],
    "n_positions": [30],
    "n_inner": [None, 64],
    "n_ctx": [20],
}
_VALUES: Mapping[str, list[Any]] = {
    **_SIZES,
    "activation": ["relu"],
    "activation_function": ["relu", "gelu_python"],
    "hidden_act": ["relu", "silu"],
    "add_cross_attention": [True],
    "attention_bias": [False],
    "attention_chunk_size": [3],
    "bos_token_id": [3],
    "chunk_size_feed_forward": [17],
    "classifier_dropout": [0.9, None],
    "cross_attention_hidden_size": [16],
    "dtype": ["float16", "bfloat16"],  # of the file: we always compute in single precision
    "eos_token_id": [3, None],
    "finetuning_task": ["x"],
    "id2label": [{"0": "a"}, {"0": "a", "1": "b", "2": "c"}, {"1": "a", "2": "b", "3": "c"}],
    "is_causal": [False, True],
    "is_decoder": [True],
    "is_encoder_decoder": [True],
    "label2id": [{"a": 0}],
    "layer_norm_eps": [1e-3, 0.0, 1.0],
    "layer_norm_epsilon": [1e-3, 0.0],
    "layer_types": [["full_attention"] * 3],
    "num_labels": [3],
    "pad_token_id": [0, 1, 3, None],
    "position_embedding_type": ["relative_key", "relative_key_query", "absolute"],
    "problem_type": ["regression", "multi_label_classification", "single_label_classification"],
    "pruned_heads": [{"0": [1]}],
    "quantization_config": [{"quant_method": "bitsandbytes", "load_in_8bit": True}],
    "reorder_and_upcast_attn": [True],
    "rope_theta": [1e4],
    "scale_attn_by_inverse_layer_idx": [True],
    "scale_attn_weights": [False],
    "sinusoidal_pos_embds": [True],
    "sliding_window": [3],
    "summary_activation": ["tanh"],
    "summary_type": ["last"],
    "tie_encoder_decoder": [True],
    "tie_word_embeddings": [False],
    "torchscript": [True],
    "use_bfloat16": [True],
    "use_cache": [False],
}
# The weights say it too: what there are of them is used whole or refused, in words of the tensors' own.
_TOLD_BY_WEIGHTS = {*_SIZES, "id2label", "tie_word_embeddings"}
_NOT_COMPARED = {"model_type", "return_dict"}  # another architecture; the reference's own outputs


def values_of(key: str, default: Any) -> list[Any]:
    if key in _VALUES:
        return _VALUES[key]
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int | float):
        return [default / 2 + 0.05] if isinstance(default, float) else [default + 1]
    return [f"{default}x"] if isinstance(default, str) else ["x", 1]


@dataclass(frozen=True)
class Subject:
    """A random checkpoint in a folder, whose config changes."""

    folder: Path
    family: str
    head: str
    inputs: dict[str, Any]

    @classmethod
    def make(cls, folder: Path, family: str, head: str, **settings: Any) -> Subject:
        prefix, small = _FAMILIES[family]
        config = getattr(transformers, f"{prefix}Config")(**{**small, "num_labels": 3, **settings})
        torch.manual_seed(0)
        model = getattr(transformers, prefix + _HEADS[head])(config)
        with torch.no_grad():
            for parameter in model.parameters():  # biases and norms start as 0 and 1
                if parameter.ndim == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder)
        return cls(folder, family, head, random_inputs(np.random.default_rng(1)))

    @property
    def raw(self) -> dict[str, Any]:
        raw: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        return raw

    def write(self, raw: Mapping[str, Any]) -> None:
        (self.folder / "config.json").write_text(json.dumps(raw))

    def theirs(self, raw: Mapping[str, Any]) -> NDArray[np.float32]:
        """Return the output of the reference; it raises if weights are missing."""
        prefix, _ = _FAMILIES[self.family]
        config = getattr(transformers, f"{prefix}Config").from_dict(dict(raw))
        config._attn_implementation = "eager"
        model = getattr(transformers, prefix + _HEADS[self.head])(config).eval()
        weights = load_file(self.folder / "model.safetensors")
        missing, unexpected = model.load_state_dict(weights, strict=False)
        tied = set(model._tied_weights_keys or ()) if config.tie_word_embeddings else set()
        if unexpected or set(missing) - tied:
            raise ValueError(f"missing {missing}, unexpected {unexpected}")
        inputs = {name: torch.from_numpy(value) for name, value in self.inputs.items()}
        if self.family in ("distilbert", "gpt2"):
            del inputs["token_type_ids"]
        elif config.type_vocab_size == 1:
            inputs["token_type_ids"] = torch.zeros_like(inputs["token_type_ids"])
        with torch.no_grad():
            return np.asarray(model(**inputs, return_dict=True)["logits"])

    def ours(self, raw: Mapping[str, Any]) -> NDArray[np.float32]:
        self.write(raw)
        found = Model.from_pretrained(self.folder, head=self.head, backend="numpy")(**self.inputs).logits
        assert found is not None
        return found

    def difference(self, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
        assert ours.shape == theirs.shape
        found = np.abs(ours - theirs)
        return float((found if found.ndim == 2 else found[self.inputs["attention_mask"] == 1]).max())


def changes(family: str) -> Iterator[tuple[str, Any]]:
    defaults = getattr(transformers, f"{_FAMILIES[family][0]}Config")().to_dict()
    for key in sorted((defaults.keys() | _VALUES.keys()) - _NOT_COMPARED):
        for value in values_of(key, defaults.get(key)):
            yield key, value


@pytest.mark.parametrize(("family", "head"), CASES)
def test_every_key_is_obeyed_or_refused(family: str, head: str, tmp_path: Path) -> None:
    subject = Subject.make(tmp_path, family, head)
    raw = subject.raw
    assert subject.difference(subject.ours(raw), subject.theirs(raw)) < TOLERANCE
    wrong = []
    for key, value in changes(family):
        changed = {**raw, key: value}
        theirs = ours = error = None
        try:
            theirs = subject.theirs(changed)
        except Exception as caught:  # noqa: BLE001 - whatever the reference raises, it does not compute
            error = caught
        try:
            ours = subject.ours(changed)
        except MunjangError as refusal:
            if key in str(refusal) or key in _TOLD_BY_WEIGHTS:
                continue
            wrong.append(f"{key}={value!r} is refused without its name: {refusal}")
            continue
        if theirs is None:
            wrong.append(f"{key}={value!r} is ignored, the reference: {error!r:.200}")
        elif (difference := subject.difference(ours, theirs)) > TOLERANCE:
            wrong.append(f"{key}={value!r} gives a difference of {difference}")
    assert not wrong, "\n".join(wrong)


def test_general_names_are_read_as_the_architectures_own(tmp_path: Path) -> None:
    """GPT-2 and DistilBERT have their own key names, and the reference accepts the general names too."""
    for family, head in (("gpt2", "causal-lm"), ("distilbert", "masked-lm")):
        subject = Subject.make(tmp_path, family, head)
        own = getattr(transformers, f"{_FAMILIES[family][0]}Config").attribute_map
        raw = subject.raw
        for general, name in own.items():
            renamed = {key: value for key, value in raw.items() if key != name} | {general: raw[name]}
            assert subject.difference(subject.ours(renamed), subject.theirs(renamed)) < TOLERANCE
            subject.write({**raw, general: raw[name] * 2})
            with pytest.raises(CheckpointError, match=f"'{general}' .* and '{name}' .* name the same number"):
                Model.from_pretrained(tmp_path)


@pytest.mark.parametrize(("family", "head"), [case for case in CASES if case[1] != "sequence-classification"])
def test_heads_that_are_not_tied(family: str, head: str, tmp_path: Path) -> None:
    """The decoder then has a separate matrix and bias, on every executor."""
    subject = Subject.make(tmp_path, family, head, tie_word_embeddings=False)
    expected = subject.theirs(subject.raw)
    for backend in BACKENDS:
        found = Model.from_pretrained(tmp_path, head=head, backend=backend)(**subject.inputs).logits
        assert found is not None
        assert subject.difference(found, expected) < TOLERANCE


@pytest.mark.parametrize(("family", "head"), [case for case in CASES if case[1] != "sequence-classification"])
def test_a_missing_head_that_is_not_tied_is_refused(family: str, head: str, tmp_path: Path) -> None:
    subject = Subject.make(tmp_path, family, head)
    subject.write({**subject.raw, "tie_word_embeddings": False})
    with pytest.raises(CheckpointError, match=r"no tensor '.*(decoder|projector|lm_head)\.weight'"):
        Model.from_pretrained(tmp_path, head=head)(**subject.inputs)
    subject.write({**subject.raw, "tie_word_embeddings": "no"})
    with pytest.raises(CheckpointError, match="'tie_word_embeddings' must be true or false, got 'no'"):
        Model.from_pretrained(tmp_path, head=head)


def test_a_separate_decoder_is_used_although_the_config_ties(tmp_path: Path) -> None:
    """The saved decoder is used, as by the reference, although the config says that it is tied."""
    subject = Subject.make(tmp_path, "gpt2", "causal-lm", tie_word_embeddings=False)
    expected = subject.theirs(subject.raw)
    found = subject.ours({**subject.raw, "tie_word_embeddings": True})
    assert subject.difference(found, expected) < TOLERANCE
    peer = transformers.GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        theirs = peer(torch.from_numpy(subject.inputs["input_ids"])).logits.numpy()
    full = subject.inputs["attention_mask"].all(axis=1)
    np.testing.assert_allclose(found[full], theirs[full], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("family", _FAMILIES)
def test_defaults_are_those_of_the_reference(family: str) -> None:
    config = getattr(transformers, f"{_FAMILIES[family][0]}Config")()
    ours = ARCHITECTURES[family].read_config({"model_type": family})
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
        assert getattr(ours, name) == getattr(config, name), name
    assert ours.max_position_embeddings == config.max_position_embeddings
    own = {"distilbert": ("hidden_dim", "activation"), "gpt2": ("n_inner", "activation_function")}
    inner, activation = own.get(family, ("intermediate_size", "hidden_act"))
    assert ours.intermediate_size == (getattr(config, inner) or 4 * config.hidden_size)
    assert ours.hidden_act == getattr(config, activation)
    if family != "distilbert":
        norm = "layer_norm_epsilon" if family == "gpt2" else "layer_norm_eps"
        assert ours.layer_norm_eps == getattr(config, norm)
    if family not in ("distilbert", "gpt2"):
        assert ours.type_vocab_size == config.type_vocab_size
    if family != "gpt2":
        assert ours.pad_token_id == config.pad_token_id


UNUSUAL: list[tuple[str, dict[str, Any]]] = [
    *((family, {"num_hidden_layers": 1}) for family in _FAMILIES),
    *((family, {"num_attention_heads": 1}) for family in _FAMILIES),
    *((family, {"hidden_size": 21, "num_attention_heads": 7}) for family in _FAMILIES),
    *((family, {"type_vocab_size": 3}) for family in ("bert", "roberta", "electra")),
    *((family, {"type_vocab_size": 1}) for family in ("bert", "electra")),
    *((family, {"layer_norm_eps": eps}) for family in ("bert", "electra") for eps in (0.0, 1e-3, 1.0)),
    *((family, {"intermediate_size": 1}) for family in ("bert", "roberta", "electra")),
    *((family, {"vocab_size": 129}) for family in _FAMILIES),
    ("electra", {"embedding_size": 32}),
    ("electra", {"embedding_size": 7}),
    ("electra", {"embedding_size": 40}),
    ("roberta", {"pad_token_id": 0}),
    ("roberta", {"pad_token_id": 5}),
    ("gpt2", {"n_inner": None}),
    ("gpt2", {"n_inner": 7}),
    ("gpt2", {"layer_norm_epsilon": 1e-3}),
    ("bert", {"num_labels": 1}),
    ("bert", {"id2label": {0: "only"}, "label2id": {"only": 0}, "problem_type": "regression"}),
    ("distilbert", {"num_labels": 1, "sinusoidal_pos_embds": True}),
]


@pytest.fixture(scope="module")
def unusual(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Subject, NDArray[np.float32]]]:
    """A checkpoint for each head of a family, and what the reference computes; the same for every backend."""
    family, settings = request.param
    own = getattr(transformers, f"{_FAMILIES[family][0]}Config").attribute_map
    renamed = {own.get(name, name): value for name, value in settings.items()}
    subjects = [
        Subject.make(tmp_path_factory.mktemp(head), family, head, **renamed)
        for case, head in CASES
        if case == family
    ]
    return [(subject, subject.theirs(subject.raw)) for subject in subjects]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("unusual", UNUSUAL, ids=str, indirect=True)
def test_unusual_configs(unusual: list[tuple[Subject, NDArray[np.float32]]], backend: str) -> None:
    for subject, theirs in unusual:
        found = Model.from_pretrained(subject.folder, head=subject.head, backend=backend)
        logits = found(**subject.inputs).logits
        assert logits is not None
        assert subject.difference(logits, theirs) < TOLERANCE


def test_no_token_types_at_all_is_refused() -> None:
    with pytest.raises(CheckpointError, match="'type_vocab_size' must be at least 1, got 0"):
        ARCHITECTURES["bert"].read_config({"model_type": "bert", "type_vocab_size": 0})


def test_layers_of_gpt2_that_the_config_does_not_mention(tmp_path: Path) -> None:
    subject = Subject.make(tmp_path, "gpt2", "causal-lm")
    subject.write({**subject.raw, "n_layer": 2})
    with pytest.raises(CheckpointError, match=r"does not use these tensors: transformer\.h\.2\."):
        Model.from_pretrained(tmp_path, head="causal-lm")
