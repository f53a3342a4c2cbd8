"""All pooling modes, single and combined, with and without the prompt's tokens, as in the reference."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer as Peer
from sentence_transformers.sentence_transformer.modules import Pooling as PeerPooling
from sentence_transformers.sentence_transformer.modules import Transformer

from munjang import SentenceTransformer
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.runtime.notices import AssumptionWarning
from munjang.sentence.program import POOLING_MODES, Pooling
from support.sentences import TEXTS, Trio, make_checkpoint, modify_json

JOINED: list[tuple[str, ...]] = [
    ("cls", "mean"),
    ("mean", "cls"),
    ("max", "lasttoken", "weightedmean"),
    ("mean_sqrt_len_tokens", "mean"),
    POOLING_MODES,
    tuple(reversed(POOLING_MODES)),
]
EVERY = [*((mode,) for mode in POOLING_MODES), *JOINED]
NAMES = ["+".join(modes) for modes in EVERY]


def assert_close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT checkpoint without the files of a sentence encoder."""
    folder = tmp_path_factory.mktemp("plain")
    make_checkpoint("bert", folder)
    return folder


@pytest.fixture(scope="module")
def peer(plain: Path) -> Any:
    """The reference's model of it; its pooling module may be replaced."""
    return Peer(modules=[Transformer(str(plain)), PeerPooling(32)], device="cpu")


@pytest.mark.parametrize("include_prompt", [True, False], ids=["prompt", "no-prompt"])
@pytest.mark.parametrize("modes", EVERY, ids=NAMES)
def test_every_mode(modes: Sequence[str], include_prompt: bool, peer: Any, plain: Path) -> None:
    peer[1] = PeerPooling(32, tuple(modes), include_prompt=include_prompt)
    model = SentenceTransformer(plain, pooling=modes)
    model.set_pooling_include_prompt(include_prompt)
    assert model.get_sentence_embedding_dimension() == 32 * len(modes)
    for prompt in ("", "The girl: ", "오늘 "):
        assert_close(model.encode(TEXTS, prompt=prompt), peer.encode(TEXTS, prompt=prompt))


@pytest.mark.parametrize("modes", [("mean",), ("cls",), ("lasttoken", "max", "mean")])
def test_modes_are_read_from_the_files(modes: Sequence[str], tmp_path: Path) -> None:
    model = Trio.make(tmp_path / "model", pooling=modes, include_prompt=False)
    assert model.ours.pooling == Pooling(tuple(modes), include_prompt=False)
    assert_close(model.ours.encode(TEXTS, prompt="a b"), model.peer.encode(TEXTS, prompt="a b"))
    one = model.ours.encode(TEXTS[1], prompt="a ", output_value=None)
    assert_close(one["sentence_embedding"], model.peer.encode(TEXTS[1], prompt="a "))


@pytest.mark.parametrize("modes", EVERY, ids=NAMES)
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_every_mode_on_the_other_backends(modes: tuple[str, ...], backend: str, plain: Path) -> None:
    ours, other = (SentenceTransformer(plain, pooling=modes, backend=name) for name in ("openvino", backend))
    assert_close(other.encode(TEXTS), ours.encode(TEXTS))


@pytest.mark.parametrize("architecture", ["roberta", "electra", "distilbert"])
@pytest.mark.parametrize("mode", ["cls", "lasttoken", "max", "weightedmean"])
def test_other_architectures(architecture: str, mode: str, tmp_path: Path) -> None:
    model = Trio.make(tmp_path / "model", architecture, pooling=mode)
    assert_close(model.ours.encode(TEXTS), model.peer.encode(TEXTS))


def test_set_pooling_include_prompt(bert: Trio, tmp_path: Path) -> None:
    model = SentenceTransformer(bert.folder)
    with_prompt = model.encode(TEXTS, prompt="The girl: ")
    model.set_pooling_include_prompt(False)
    without = Trio.make(tmp_path / "model", include_prompt=False).peer.encode(TEXTS, prompt="The girl: ")
    assert np.abs(with_prompt - without).max() > 0.01
    assert_close(model.encode(TEXTS, prompt="The girl: "), without)


# A plain checkpoint


def test_a_plain_checkpoint_warns_once_and_takes_the_mean(plain: Path) -> None:
    with pytest.warns(AssumptionWarning, match="does not say how to pool; the mean is assumed") as caught:
        model = SentenceTransformer(plain)
    assert [warning.filename for warning in caught] == [__file__]
    assert_close(model.encode(TEXTS), SentenceTransformer(plain, pooling="mean").encode(TEXTS))


@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm-roberta"])
def test_the_models_own_pooler(architecture: str, tmp_path: Path) -> None:
    peer = make_checkpoint(architecture, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with torch.no_grad():
        expected = peer(**tokenizer(TEXTS, padding=True, return_tensors="pt")).pooler_output
    model = SentenceTransformer(tmp_path, pooling="pooler")
    assert_close(model.encode(TEXTS), expected)
    assert_close(model.encode(TEXTS, output_value=None)[0]["sentence_embedding"], expected[0])
    assert model.get_sentence_embedding_dimension() == 32


def test_no_pooler(tmp_path: Path) -> None:
    make_checkpoint("electra", tmp_path)
    with pytest.raises(InputError, match="has no pooler; choose another pooling"):
        SentenceTransformer(tmp_path, pooling="pooler")


def test_an_argument_overrides_the_files(bert: Trio, tmp_path: Path) -> None:
    model = SentenceTransformer(bert.folder, pooling=("max", "cls"))
    expected = Trio.make(tmp_path / "model", pooling=("max", "cls")).peer.encode(TEXTS)
    assert_close(model.encode(TEXTS), expected)


@pytest.mark.parametrize("wrong", ["middle", ("mean", "middle"), (), ("pooler", "mean")])
def test_unknown_choices(wrong: Any, plain: Path) -> None:
    with pytest.raises(InputError, match="Unknown pooling"):
        SentenceTransformer(plain, pooling=wrong)


def test_a_choice_of_the_wrong_type(plain: Path) -> None:
    with pytest.raises(InputTypeError, match="pooling must be a name or a tuple of names, got 5"):
        SentenceTransformer(plain, pooling=5)  # type: ignore[arg-type]


# Config files


def flags(*modes: str) -> dict[str, bool]:
    names = {
        "cls": "pooling_mode_cls_token",
        "mean": "pooling_mode_mean_tokens",
        "max": "pooling_mode_max_tokens",
        "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    }
    return {flag: mode in modes for mode, flag in names.items()}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode": "cls"}, ("cls",)),
        ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),
        (flags("mean"), ("mean",)),
        (flags("max", "cls"), ("cls", "max")),
        (flags(), ("mean",)),
        ({}, ("mean",)),
        ({**flags("mean"), "pooling_mode": "max"}, ("max",)),
    ],
)
def test_nested_and_flat_configs(config: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert Pooling.from_config(config).modes == expected
    if list(config) == ["pooling_mode"]:
        assert np.atleast_1d(PeerPooling(32, **config).pooling_mode).tolist() == list(expected)


@pytest.mark.parametrize("include_prompt", [True, False])
def test_configs_survive_saving(include_prompt: bool) -> None:
    for count in (1, 2, 3):
        for modes in itertools.permutations(POOLING_MODES, count):
            pooling = Pooling(modes, include_prompt)
            config = pooling.to_config(32)
            assert Pooling.from_config(config) == pooling
            assert config["word_embedding_dimension"] == 32
    assert Pooling.from_config(Pooling(("mean", "mean")).to_config(32)).modes == ("mean", "mean")


@pytest.mark.parametrize("wrong", ["middle", ["mean", 5], [], 7])
def test_broken_configs(wrong: Any, tmp_path: Path) -> None:
    folder = Trio.make(tmp_path / "model").folder
    modify_json(folder / "1_Pooling/config.json", pooling_mode=wrong)
    with pytest.raises(CheckpointError, match=r"its files can't be used\. Unknown pooling"):
        SentenceTransformer(folder)
