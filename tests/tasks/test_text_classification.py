"""Labels for texts and pairs: the reference's values, windows over long texts, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import munjang
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.runtime.model import Model
from munjang.runtime.notices import TruncationWarning
from munjang.tasks.loading import Loaded
from munjang.tasks.scores import LabelScore
from munjang.tasks.text_classification import TextClassification
from munjang.tokenization import Tokenizer
from support.labelled import MAX_LENGTH, TEXTS, labelled_model, peer_pipeline

CLASSES = ("Bert", "Roberta", "Electra", "DistilBert")
TOLERANCE = 1e-5
LONG = "서울의 고양이는 정말 귀엽다. " * 12


def assert_same(ours: list[LabelScore], theirs: Any) -> None:
    assert [found["label"] for found in ours] == [found["label"] for found in theirs]
    assert [found["score"] for found in ours] == pytest.approx(
        [found["score"] for found in theirs], abs=TOLERANCE
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_model(tmp_path_factory.mktemp("models") / "bert")


def test_a_pipeline_needs_a_model() -> None:
    with pytest.raises(InputError, match=r"pipeline\('sentiment-analysis'\) needs a model"):
        munjang.pipeline("sentiment-analysis")


@pytest.fixture(scope="module")
def classify(folder: Path) -> TextClassification:
    return TextClassification(folder)


@pytest.mark.parametrize("kind", CLASSES)
def test_values_of_the_reference(kind: str, tmp_path: Path) -> None:
    labelled_model(tmp_path, f"{kind}ForSequenceClassification", longest=120)
    ours, theirs = TextClassification(tmp_path), peer_pipeline("text-classification", tmp_path)
    for found, expected in zip(ours(TEXTS, top_k=None), theirs(list(TEXTS), top_k=None), strict=True):
        assert_same(found, expected)
    pair = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    expected = theirs(pair, top_k=2)
    assert_same(ours((TEXTS[0], TEXTS[1]), top_k=2), expected)
    assert_same(ours({"text": TEXTS[0], "text_pair": TEXTS[1]}, top_k=2), expected)


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_every_function(function: Any, folder: Path, classify: TextClassification) -> None:
    expected = peer_pipeline("text-classification", folder)(TEXTS[0], top_k=None, function_to_apply=function)
    assert_same(classify(TEXTS[0], top_k=None, function_to_apply=function), expected)


@pytest.mark.parametrize(
    ("problem_type", "labels"),
    [
        ("multi_label_classification", ("a", "b", "c")),
        ("regression", ("score",)),
        ("single_label_classification", ("a", "b")),
        (None, ("relevant",)),
        ("regression", ("x", "y")),
    ],
)
def test_the_config_selects_the_function(
    problem_type: str | None, labels: tuple[str, ...], tmp_path: Path
) -> None:
    labelled_model(tmp_path, labels=labels, problem_type=problem_type)
    expected = peer_pipeline("text-classification", tmp_path)(TEXTS[1], top_k=None)
    assert_same(TextClassification(tmp_path)(TEXTS[1], top_k=None), expected)


def test_one_label_by_default_and_a_list_for_a_list(classify: TextClassification) -> None:
    single = classify(TEXTS[0])
    assert len(single) == 1
    assert classify([TEXTS[0]]) == [single]
    assert classify([]) == []
    assert classify([], windows=True) == []
    both = classify([TEXTS[0], (TEXTS[0], TEXTS[1])])
    assert both[0][0]["score"] == pytest.approx(single[0]["score"], abs=1e-6)


def test_the_pipeline_by_name(folder: Path, classify: TextClassification) -> None:
    assert munjang.pipeline("sentiment-analysis", folder)(TEXTS[0]) == classify(TEXTS[0])


def test_a_long_text_is_cut_with_a_warning(folder: Path, classify: TextClassification) -> None:
    with pytest.warns(TruncationWarning, match=r"1 of 2 texts were longer than 40 tokens; \d+ tokens"):
        found = classify([TEXTS[0], LONG])
    expected = peer_pipeline("text-classification", folder)(LONG, truncation=True, max_length=MAX_LENGTH)
    assert_same(found[1], [expected] if isinstance(expected, dict) else expected)


def test_windows_are_averaged(folder: Path, classify: TextClassification) -> None:
    tokenizer = Tokenizer.from_pretrained(folder)
    model = Model.from_pretrained(folder, "sequence-classification")
    ids = tokenizer.encode(LONG, add_special_tokens=False)
    room = MAX_LENGTH - 2
    starts = [*range(0, len(ids) - room, room // 2), len(ids) - room]
    rows = [[tokenizer.cls_token_id, *ids[start : start + room], tokenizer.sep_token_id] for start in starts]
    logits = model(np.array(rows)).logits
    assert logits is not None
    powers = np.exp(logits)
    expected = (powers / powers.sum(axis=1, keepdims=True)).mean(axis=0)
    found = classify([TEXTS[0], LONG], top_k=None, windows=True)
    labels = model.config.labels.id2label
    assert {score["label"]: score["score"] for score in found[1]} == pytest.approx(
        {labels[i]: float(value) for i, value in enumerate(expected)}, abs=TOLERANCE
    )
    assert_same(found[0], classify(TEXTS[0], top_k=None))


def test_windows_over_a_pair_keep_the_second_text(classify: TextClassification) -> None:
    assert len(classify((LONG, TEXTS[0]), windows=True)) == 1
    with pytest.raises(InputError, match=r"pair is too long.*40 tokens"):
        classify((TEXTS[0], LONG), windows=True)


@pytest.mark.parametrize(
    ("texts", "settings", "error", "message"),
    [
        ("  ", {}, InputError, "The text is empty"),
        (["a", ""], {}, InputError, "Text 1 is empty"),
        (("a", ""), {}, InputError, "pair of the text is empty"),
        (("a", "b", "c"), {}, InputError, "tuple of 3"),
        ({"text": "a", "pair": "b"}, {}, InputError, "must have 'text'"),
        (3, {}, InputTypeError, "got 3"),
        ([3], {}, InputTypeError, "The text must be a str"),
        ("a", {"top_k": 0}, InputError, "top_k must be at least 1, got 0"),
        ("a", {"top_k": "1"}, InputTypeError, "top_k must be"),
        ("a", {"function_to_apply": "tanh"}, InputError, "there are softmax, sigmoid, none"),
        ("a\ud800", {}, InputError, "surrogate"),
    ],
)
def test_bad_input(
    texts: Any, settings: dict[str, Any], error: type[Exception], message: str, classify: TextClassification
) -> None:
    with pytest.raises(error, match=message):
        classify(texts, **settings)


def test_unknown_arguments_are_refused(classify: TextClassification) -> None:
    with pytest.raises(TypeError):
        classify("a", topk=1)  # type: ignore[call-overload]


def test_labels_that_do_not_fit_the_weights(tmp_path: Path) -> None:
    labelled_model(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for labels, message in (
        ({"0": "a", "1": "b"}, "3 logits, but config.json's 'id2label' names 2"),
        ({"0": "a", "1": "b", "7": "c"}, "from 0 to 2"),
        ({"a": 0, "b": 1, "c": 2}, "must map numbers to names"),
    ):
        path.write_text(json.dumps({**config, "id2label": labels}))
        with pytest.raises(CheckpointError, match=message):
            TextClassification(tmp_path)


def test_a_model_without_the_head(tmp_path: Path, folder: Path) -> None:
    labelled_model(tmp_path, "BertForTokenClassification")
    with pytest.raises(CheckpointError, match="no trained sequence-classification head; it has token-class"):
        TextClassification(tmp_path)
    bare = Loaded(Model.from_pretrained(folder, None), Tokenizer.from_pretrained(folder))
    with pytest.raises(InputError, match=r"opened with no head.*sequence-classification"):
        TextClassification(bare)
