"""Features against `transformers`: every layer and combination, words, padding, attentions; and bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.runtime.notices import TruncationWarning
from munjang.tasks.features import FeatureExtraction
from support.wordpiece import model_with_words

PARIS = "I love Paris"
TEXTS = ["축구는 정말 재미있는 스포츠다.", PARIS, "나는 스포츠카를 보았다!", "한국사람"]
LAYERS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    model_with_words(path, "BertModel", num_hidden_layers=LAYERS)
    return path


@pytest.fixture(scope="module")
def extract(folder: Path) -> FeatureExtraction:
    return FeatureExtraction(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    """Return the output of the reference model for a text, with hidden states and attention."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()

    def run(text: str, **how: Any) -> Any:
        with torch.no_grad():
            return model(
                **tokenizer(text, return_tensors="pt", **how),
                output_hidden_states=True,
                output_attentions=True,
            )

    return run


def close(ours: Any, expected: Any) -> bool:
    expected = np.asarray(expected)
    return bool(ours.shape == expected.shape and np.abs(ours - expected).max() < 1e-5)


def test_plain_call_as_transformers(extract: FeatureExtraction, folder: Path) -> None:
    pipe = transformers.pipeline(
        "feature-extraction",
        model=transformers.BertModel.from_pretrained(folder),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
    )
    together = extract(TEXTS)
    for text, one in zip(TEXTS, together, strict=True):
        assert close(extract(text), np.array(pipe(text)))
        assert close(one, np.array(pipe(text)))
    assert extract([]) == []


def test_the_lesson_padded(extract: FeatureExtraction, theirs: Any) -> None:
    found = extract.features(PARIS, pad_to=7)
    expected = theirs(PARIS, padding="max_length", max_length=7)
    assert found.values.shape == (1, 7, 32)
    assert found.attention_mask.tolist() == [[1, 1, 1, 1, 1, 0, 0]]
    assert close(found.values[:, :5], expected.last_hidden_state[:, :5])
    assert not found.values[:, 5:].any()
    assert found.tokens == ["[CLS]", "i", "love", "paris", "[SEP]", "", ""]
    assert close(extract(PARIS, level="pooler"), expected.pooler_output)
    every = extract(PARIS, layers="all", pad_to=7)
    assert every.shape == (LAYERS + 1, 1, 7, 32)
    for ours, layer in zip(every, expected.hidden_states, strict=True):
        assert close(ours[:, :5], layer[:, :5])


@pytest.mark.parametrize("layers", [0, 1, -1, -2, LAYERS, -LAYERS - 1, [0, -1], range(2, 5)])
def test_layers(extract: FeatureExtraction, theirs: Any, layers: Any) -> None:
    for text in TEXTS:
        states = theirs(text).hidden_states
        if isinstance(layers, int):
            assert close(extract(text, layers=layers), states[layers])
        else:
            assert close(extract(text, layers=layers), np.stack([states[i] for i in layers]))


WEIGHTS = [0.5, 0, 0, -1.0, 0, 2]
COMBINATIONS: dict[str, Callable[[Any], Any]] = {
    "last": lambda states: states[-1],
    "second_to_last": lambda states: states[-2],
    "sum_last_four": lambda states: sum(states[-4:]),
    "concat_last_four": lambda states: torch.cat(states[-4:], dim=-1),
    "mean_all": lambda states: torch.stack(states).mean(dim=0),
}


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_combinations(extract: FeatureExtraction, theirs: Any, combine: Any) -> None:
    for text, found in zip(TEXTS, extract(TEXTS, combine=combine), strict=True):
        assert close(found, COMBINATIONS[combine](theirs(text).hidden_states))


def test_weights(extract: FeatureExtraction, theirs: Any) -> None:
    expected = sum(weight * state for weight, state in zip(WEIGHTS, theirs(PARIS).hidden_states, strict=True))
    assert close(extract(PARIS, combine=WEIGHTS), expected)
    assert close(extract(PARIS, combine=np.array(WEIGHTS)), expected)


def test_words(extract: FeatureExtraction, theirs: Any) -> None:
    text = "  나는 스포츠카를  보았다!"
    found = extract.features(text, level="word")
    assert found.tokens == ["나는", "스포츠카를", "보았다", "!"]
    assert [text[start:end] for start, end in found.offsets] == found.tokens
    tokens = extract.features(text).tokens
    assert tokens == ["[CLS]", "나", "##는", "[UNK]", "보았다", "!", "[SEP]"]
    states = theirs(text).last_hidden_state
    assert close(found.values[:, 0], states[:, 1:3].mean(dim=1))
    assert close(found.values[:, 3], states[:, 5])
    every = extract(text, layers="all", level="word")
    assert every.shape == (LAYERS + 1, 1, 4, 32)
    assert np.allclose(every[-1], found.values)


def test_one_vector_for_a_text(extract: FeatureExtraction, theirs: Any) -> None:
    for text in TEXTS:
        expected = theirs(text)
        assert close(extract(text, level="cls"), expected.last_hidden_state[:, 0])
        assert close(extract(text, level="mean"), expected.last_hidden_state.mean(dim=1))
        assert close(extract(text, level="pooler"), expected.pooler_output)
        assert close(
            extract(text, level="mean", combine="second_to_last"), expected.hidden_states[-2].mean(dim=1)
        )
        assert close(extract(text, level="cls", layers="all"), torch.stack(expected.hidden_states)[:, :, 0])


def test_offsets_and_attentions(extract: FeatureExtraction, theirs: Any) -> None:
    for text, found in zip(TEXTS, extract.features(TEXTS, attentions=True), strict=True):
        assert found.attentions is not None
        assert close(found.attentions, torch.stack(theirs(text).attentions))
        for token, (start, end) in zip(found.tokens[1:-1], found.offsets[1:-1], strict=True):
            assert text[start:end].lower() == token.removeprefix("##") or token == "[UNK]"
    padded = extract.features(PARIS, pad_to=7, attentions=True).attentions
    assert padded is not None
    assert padded.shape == (LAYERS, 1, 4, 7, 7)
    assert np.allclose(padded[..., :5, :].sum(axis=-1), 1)
    assert not padded[..., 5:, :].any()
    with_pooler = extract.features(PARIS, level="pooler", attentions=True)
    assert with_pooler.attentions is not None
    assert np.allclose(with_pooler.attentions, padded[..., :5, :5])


def test_texts_that_are_cut(extract: FeatureExtraction) -> None:
    with pytest.warns(TruncationWarning, match="1 of 1 texts were longer than 4 tokens; 1 tokens were cut"):
        assert extract(PARIS, pad_to=4).shape == (1, 4, 32)
    with pytest.warns(TruncationWarning, match="1 of 2 texts were longer than 40 tokens"):
        assert extract([PARIS, "sky " * 90])[1].shape == (1, 40, 32)
    assert extract(PARIS, pad_to=60).shape == (1, 60, 32)  # nothing but zeros beyond the model's length


def test_an_empty_text(extract: FeatureExtraction) -> None:
    assert extract("").shape == (1, 2, 32)
    assert extract("", level="word").shape == (1, 0, 32)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"layers": 6}, InputError, "There is no layer 6; the model has 0"),
        ({"layers": -7}, InputError, "There is no layer -7"),
        ({"layers": [1, "2"]}, InputTypeError, "A layer is a number, not '2'"),
        ({"layers": []}, InputError, "layers is empty"),
        ({"layers": "first"}, InputError, "layers is 'first'"),
        ({"layers": True}, InputError, "layers is True"),
        ({"layers": 1, "combine": "last"}, InputError, "not both"),
        ({"combine": "product"}, InputError, "Unknown combine 'product'"),
        ({"combine": [1.0]}, InputError, "combine has 1 weights; .* 5 layers need 6"),
        ({"combine": [0] * 6}, InputError, "All weights of combine are zero"),
        ({"combine": [float("nan")] * 6}, InputError, "must be finite"),
        ({"combine": ["a"] * 6}, InputTypeError, "must be numbers"),
        ({"combine": 3}, InputError, "combine is 3"),
        ({"level": "letter"}, InputError, "Unknown level 'letter'"),
        ({"level": "word", "pad_to": 9}, InputError, "pad_to adds tokens"),
        ({"level": "pooler", "layers": 1}, InputError, "The pooler reads the last layer"),
        ({"pad_to": 0}, InputError, "pad_to must be at least 1, got 0"),
        ({"pad_to": 2.5}, InputTypeError, "pad_to must be a whole number, got 2.5"),
    ],
)
def test_bad_settings(
    extract: FeatureExtraction, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        extract(PARIS, **settings)


def test_bad_texts_and_models(extract: FeatureExtraction, tmp_path: Path) -> None:
    for wrong in (3, None, [PARIS, 3], b"bytes"):
        with pytest.raises(InputTypeError):
            extract(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="layer"):
        extract(PARIS, layer=3)  # type: ignore[call-overload]
    model_with_words(tmp_path, "BertForMaskedLM")  # published without a pooler; three layers
    bare = FeatureExtraction(tmp_path)
    with pytest.raises(CheckpointError, match="no trained pooler; use level='cls'"):
        bare(PARIS, level="pooler")
    with pytest.raises(InputError, match="at least 4 layers; this one has 3"):
        bare(PARIS, combine="sum_last_four")
    assert close(bare(PARIS), bare(PARIS, layers="all")[-1])
