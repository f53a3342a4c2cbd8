"""Zero-shot labels: the reference's values, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.runtime.notices import TruncationWarning
from munjang.tasks.zero_shot import ZeroShotClassification, entailment_and_contradiction
from support.labelled import TEXTS, labelled_model, peer_pipeline

LABELS = ["cat", "서울", "weather"]
NLI = ("CONTRADICTION", "NEUTRAL", "ENTAILMENT")


def assert_same(ours: Any, theirs: Any) -> None:
    assert ours["sequence"] == theirs["sequence"]
    assert ours["labels"] == theirs["labels"]
    assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_model(tmp_path_factory.mktemp("models") / "nli", labels=NLI)


@pytest.fixture(scope="module")
def classify(folder: Path) -> ZeroShotClassification:
    return ZeroShotClassification(folder)


@pytest.mark.parametrize("kind", ["Bert", "Roberta", "Electra", "DistilBert"])
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [NLI, ("entailment", "neutral", "contradiction")], ids=["last", "first"])
def test_values_of_the_reference(
    kind: str, multi_label: bool, labels: tuple[str, ...], tmp_path: Path
) -> None:
    labelled_model(tmp_path, f"{kind}ForSequenceClassification", labels=labels, longest=120)
    ours, theirs = ZeroShotClassification(tmp_path), peer_pipeline("zero-shot-classification", tmp_path)
    texts = list(TEXTS[:3])
    for found, expected in zip(
        ours(texts, LABELS, multi_label=multi_label),
        theirs(texts, LABELS, multi_label=multi_label),
        strict=True,
    ):
        assert_same(found, expected)


def test_custom_template_and_labels_as_a_string(folder: Path, classify: ZeroShotClassification) -> None:
    settings = {"hypothesis_template": "이 글은 {}이다."}
    expected = peer_pipeline("zero-shot-classification", folder)(TEXTS[0], LABELS, **settings)
    assert_same(classify(TEXTS[0], "cat, 서울,weather", hypothesis_template="이 글은 {}이다."), expected)


def test_one_label_is_scored_against_contradiction(folder: Path, classify: ZeroShotClassification) -> None:
    expected = peer_pipeline("zero-shot-classification", folder)(TEXTS[0], ["cat"])
    assert_same(classify(TEXTS[0], ["cat"]), expected)


def test_scores_add_up_and_lists_give_lists(classify: ZeroShotClassification) -> None:
    found = classify(TEXTS[1], LABELS)
    assert sum(found["scores"]) == pytest.approx(1, abs=1e-6)
    assert found["scores"] == sorted(found["scores"], reverse=True)
    assert [result["labels"] for result in classify([TEXTS[1]], LABELS)] == [found["labels"]]
    assert classify([], LABELS) == []


def test_a_long_text_is_cut_but_not_the_label(folder: Path, classify: ZeroShotClassification) -> None:
    text = TEXTS[1] * 5
    with pytest.warns(TruncationWarning, match="3 of 3 texts"):
        found = classify(text, LABELS)
    assert_same(found, peer_pipeline("zero-shot-classification", folder)(text, LABELS))
    with pytest.raises(InputError, match="only_first"):
        classify(TEXTS[0], [text])


def test_entailment_by_name() -> None:
    assert entailment_and_contradiction({0: "neutral", 1: "Contradiction", 2: "ENTAIL"}) == (2, 1)
    assert entailment_and_contradiction({0: "not_entailment", 1: "entailment"}) == (1, 0)
    assert entailment_and_contradiction({0: "entailment", 1: "not_entailment"}) == (0, 1)


def test_a_model_without_an_entailment_label(tmp_path: Path) -> None:
    labelled_model(tmp_path, labels=("good", "bad"))
    with pytest.raises(CheckpointError, match="'entailment'; this one has good, bad"):
        ZeroShotClassification(tmp_path)


@pytest.mark.parametrize(
    ("text", "labels", "settings", "error", "message"),
    [
        ("", LABELS, {}, InputError, "is empty"),
        ("a", [], {}, InputError, "no candidate labels"),
        ("a", " , ", {}, InputError, "no candidate labels"),
        ("a", ["b", ""], {}, InputError, "Candidate label 1 is empty"),
        ("a", [1], {}, InputTypeError, "Candidate label 0 must be a str"),
        (("a", "b"), LABELS, {"hypothesis_template": "none"}, InputError, "must have a {}"),
        ("a", LABELS, {"hypothesis_template": "{name}"}, InputError, "must have a {}"),
        ([("a", "b")], LABELS, {}, InputTypeError, r"must be a str, got \(\'a\', \'b\'\)"),
        (7, LABELS, {}, InputTypeError, "got 7"),
    ],
)
def test_bad_input(
    text: Any,
    labels: Any,
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
    classify: ZeroShotClassification,
) -> None:
    with pytest.raises(error, match=message):
        classify(text, labels, **settings)
