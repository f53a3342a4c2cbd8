"""The output of published lessons for masks, next sentences and features.

With the lessons' own models where a hub is reached; and each case's path, offline, on a random model of the
same architecture whose vocabulary is the words of the case, against `transformers`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from munjang.tasks.features import FeatureExtraction
from munjang.tasks.fill_mask.fill_mask import FillMask
from munjang.tasks.next_sentence import NextSentencePrediction
from support.wordpiece import SPECIAL, VOCABULARY, model_with_words

CASES = json.loads(Path(__file__).with_name("lesson_words.json").read_text(encoding="utf-8"))


def cases(task: str) -> pytest.MarkDecorator:
    chosen = [case for case in CASES if case["task"] == task]
    return pytest.mark.parametrize("case", chosen, ids=[case["id"] for case in chosen])


def small_model(folder: Path, case: dict[str, Any], class_name: str, **settings: Any) -> Any:
    """A random model with the words of a case and some others in its vocabulary."""
    words = re.findall(
        r"\w+|[^\w\s]", f"{case['text']} {case.get('pair', '')}".lower().replace("[mask]", " ")
    )
    answers = [word for word, *_ in case.get("top", ())]
    vocabulary = list(dict.fromkeys([*VOCABULARY, *words, *answers]))
    sizes = {"max_position_embeddings": 80, "num_hidden_layers": 4, **settings}
    return model_with_words(folder, class_name, vocabulary=vocabulary, **sizes)


@pytest.mark.hub
@cases("fill-mask")
def test_fill_mask(case: dict[str, Any]) -> None:
    fills = FillMask(case["model"])(case["text"])
    withheld = [one for one in case["top"] if one[0] in SPECIAL]
    expected = [one for one in case["top"] if one[0] not in SPECIAL]
    for fill, (word, token, score) in zip(fills, expected, strict=False):
        assert (fill["token"], fill["token_str"]) == (token, word)
        assert fill["score"] == pytest.approx(score, abs=1e-4)
        assert fill["sequence"] == case["text"].replace("[MASK]", word)
    assert len(fills) == 5
    assert fills[0]["withheld"] > sum(score for *_, score in withheld) - 1e-4


@cases("fill-mask")
def test_fill_mask_offline(case: dict[str, Any], tmp_path: Path) -> None:
    model = small_model(tmp_path, case, "BertForMaskedLM")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    theirs = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)(case["text"], top_k=40)
    never = {*SPECIAL, "[unused0]", "[unused1]"}
    expected = [one for one in theirs if tokenizer.convert_ids_to_tokens(one["token"]) not in never]
    for ours, their in zip(FillMask(tmp_path)(case["text"]), expected, strict=False):
        assert ours["token"] == their["token"]
        assert ours["score"] == pytest.approx(their["score"], abs=1e-5)
        assert ours["sequence"] == case["text"].replace("[MASK]", ours["token_str"])


@pytest.mark.hub
@cases("next-sentence")
def test_next_sentence(case: dict[str, Any]) -> None:
    found = NextSentencePrediction(case["model"])(case["text"], case["pair"])
    assert found["label"] == case["label"]
    for name in ("follows", "unrelated"):
        assert found[name] == pytest.approx(case.get(name, found[name]), abs=1e-5)


@cases("next-sentence")
def test_next_sentence_offline(case: dict[str, Any], tmp_path: Path) -> None:
    model = small_model(tmp_path, case, "BertForNextSentencePrediction")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with torch.no_grad():
        logits = model(**tokenizer(case["text"], case["pair"], return_tensors="pt")).logits[0]
    follows, unrelated = torch.softmax(logits, dim=-1).tolist()
    found = NextSentencePrediction(tmp_path)(case["text"], case["pair"])
    assert found["label"] == int(unrelated > follows)
    assert found["follows"] == pytest.approx(follows, abs=1e-5)
    assert found["unrelated"] == pytest.approx(unrelated, abs=1e-5)


def check_features(case: dict[str, Any], extract: FeatureExtraction, width: int) -> None:
    """Check the shapes of a case, for a model whose vectors have this many numbers."""
    shape = (*case["shape"][:2], width)
    found = extract.features(case["text"], pad_to=case["pad_to"])
    assert found.values.shape == shape
    assert found.attention_mask.tolist()[0] == case.get("attention_mask", [1, 1, 1, 1, 1, 0, 0])
    if "pooler_shape" in case:
        assert extract(case["text"], level="pooler").shape == (case["pooler_shape"][0], width)


@pytest.mark.hub
@cases("features")
def test_features(case: dict[str, Any]) -> None:
    extract = FeatureExtraction(case["model"])
    check_features(case, extract, 768)
    row = extract.tokenizer(case["text"], padding="max_length", max_length=case["pad_to"])["input_ids"]
    assert row == case.get("input_ids", row)
    if "layers" in case:
        every = extract(case["text"], layers="all", pad_to=case["pad_to"])
        assert [list(layer.shape) for layer in every] == [case["shape"]] * case["layers"]


@cases("features")
def test_features_offline(case: dict[str, Any], tmp_path: Path) -> None:
    layers = case.get("layers", 5)
    model = small_model(tmp_path, case, "BertModel", num_hidden_layers=layers - 1)
    extract = FeatureExtraction(tmp_path)
    check_features(case, extract, 32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    padded = tokenizer(case["text"], padding="max_length", max_length=case["pad_to"], return_tensors="pt")
    with torch.no_grad():
        expected = model(**padded, output_hidden_states=True)
    every = extract(case["text"], layers="all", pad_to=case["pad_to"])
    assert len(every) == layers
    read = int(padded["attention_mask"].sum())
    for ours, theirs in zip(every, expected.hidden_states, strict=True):
        assert np.abs(ours[:, :read] - theirs.numpy()[:, :read]).max() < 1e-5
        assert not ours[:, read:].any()
    pooled = extract(case["text"], level="pooler")
    assert np.abs(pooled - expected.pooler_output.numpy()).max() < 1e-5
