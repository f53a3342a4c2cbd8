"""Evaluation of classifiers, taggers and extractors: the measures equal those of their answers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from munjang.data.examples import LabelledText, RelationExample
from munjang.data.tags import TaggedText
from munjang.errors import CheckpointError, InputError
from munjang.evaluation.classification import evaluate_classification, evaluate_relations
from munjang.evaluation.entities import evaluate_entities
from munjang.evaluation.measures.entities import character_f1, entity_f1
from munjang.tasks.loading import load
from munjang.tasks.relation_extraction import RelationExtraction
from munjang.tasks.text_classification import TextClassification
from munjang.tasks.token_classification import TokenClassification
from support.broken import with_nan
from support.heads import MODEL_MAKERS
from support.labelled import NER_LABELS, TEXTS, labelled_model

LABELS = ("bad", "good", "so-so")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TextClassification:
    return TextClassification(labelled_model(tmp_path_factory.mktemp("classifier"), labels=LABELS))


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> TokenClassification:
    folder = tmp_path_factory.mktemp("tagger")
    return TokenClassification(labelled_model(folder, "BertForTokenClassification", NER_LABELS))


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> RelationExtraction:
    return RelationExtraction(MODEL_MAKERS["relate"](tmp_path_factory.mktemp("extractor")))


def labelled(count: int = 40) -> list[LabelledText]:
    rng = np.random.default_rng(3)
    texts = [f"{TEXTS[place % len(TEXTS)]} {place}" for place in range(count)]
    return [
        LabelledText(text, TEXTS[0] if place % 2 else None, str(rng.choice(LABELS)))
        for place, text in enumerate(texts)
    ]


def test_classification(classifier: TextClassification) -> None:
    examples = labelled()
    gold = [one.label for one in examples]
    predicted = [
        classifier(one.text if one.text_pair is None else (one.text, one.text_pair))[0]["label"]
        for one in examples
    ]
    done: list[int] = []
    found = evaluate_classification(classifier, examples, advance=done.append)
    assert (found.task, found.count, sum(done)) == ("classification", 40, 40)
    assert found.metrics["accuracy"].value == pytest.approx(sklearn.metrics.accuracy_score(gold, predicted))
    peer = sklearn.metrics.f1_score(gold, predicted, average="macro", zero_division=0)
    assert found.metrics["macro_f1"].value == pytest.approx(peer)
    assert all(one.low <= one.value <= one.high for one in found.metrics.values())
    plain = evaluate_classification(classifier, examples, intervals=False)
    assert plain.values == found.values
    assert not any(one.has_interval for one in plain.metrics.values())


def test_a_head_without_names_takes_numbers(tmp_path: Path) -> None:
    unnamed = TextClassification(labelled_model(tmp_path, labels=("LABEL_0", "LABEL_1")))
    guessed = unnamed(TEXTS[0])[0]["label"].removeprefix("LABEL_")
    for label in (guessed, f"LABEL_{guessed}"):
        found = evaluate_classification(unnamed, [LabelledText(TEXTS[0], None, label)])
        assert found.values["accuracy"] == 1
    with pytest.raises(InputError, match="does not have the data's '2': its labels are 'LABEL_0', 'LABEL_1'"):
        evaluate_classification(unnamed, [LabelledText("a", None, "2"), LabelledText("b", None, "1")])


def test_regression(tmp_path: Path) -> None:
    scorer = TextClassification(labelled_model(tmp_path, labels=("score",), problem_type="regression"))
    rng = np.random.default_rng(1)
    examples = [LabelledText(f"{text} {i}", None, float(rng.random())) for i in range(6) for text in TEXTS]
    gold = [one.label for one in examples]
    predicted = [scorer(one.text)[0]["score"] for one in examples]
    found = evaluate_classification(scorer, examples)
    assert found.values["pearson"] == pytest.approx(scipy.stats.pearsonr(gold, predicted)[0], abs=1e-4)
    assert found.values["spearman"] == pytest.approx(scipy.stats.spearmanr(gold, predicted)[0], abs=1e-4)
    peer = sklearn.metrics.mean_squared_error(gold, predicted)
    assert found.values["mean_squared_error"] == pytest.approx(peer, rel=1e-4)
    with pytest.raises(InputError, match="label of example 1 is 'good', and the model gives numbers"):
        evaluate_classification(scorer, [examples[0], LabelledText("a", None, "good")])
    constant = evaluate_classification(scorer, [LabelledText(text, None, 2.0) for text in TEXTS])
    assert math.isnan(constant.values["pearson"])
    assert constant.notes == "correlations are undefined: all of the gold scores are 2"
    assert constant.to_dict()["metrics"]["pearson"] == {"value": None, "low": None, "high": None}
    assert "| pearson | undefined |" in constant.to_markdown()
    json.dumps(constant.to_dict(), allow_nan=False)


def test_a_single_class(classifier: TextClassification) -> None:
    label = classifier(TEXTS[0])[0]["label"]
    found = evaluate_classification(classifier, [LabelledText(TEXTS[0], None, label)] * 3)
    assert found.values == {"accuracy": 1, "macro_f1": 1, "matthews": 0}


def test_entities(tagger: TokenClassification) -> None:
    texts = [TaggedText(text=TEXTS[0], entities=[(0, 3, "PS"), (5, 7, "LC")])]
    texts += [TaggedText(text=text, entities=[]) for text in TEXTS[1:]]
    guessed = [
        [(one["start"], one["end"], one["entity_group"]) for one in tagger(text["text"])] for text in texts
    ]
    texts.append(TaggedText(text=TEXTS[0], entities=guessed[0][:1]))  # so that something is found
    guessed.append(guessed[0])
    gold = [text["entities"] for text in texts]
    found = evaluate_entities(tagger, texts)
    assert found.notes == f"{sum(map(len, gold))} entities"
    assert found.values["entity_f1"] == pytest.approx(entity_f1(gold, guessed))
    assert 0 < found.values["entity_f1"] < 1
    assert found.values["character_f1"] == pytest.approx(character_f1(gold, guessed))
    kinds = {kind for side in (gold, guessed) for one in side for _, _, kind in one}
    assert {name for name in found.metrics if ":" in name} == {f"entity_f1:{kind}" for kind in kinds}


def test_bad_entities(tagger: TokenClassification) -> None:
    with pytest.raises(InputError, match="None of the 2 texts has an entity"):
        evaluate_entities(tagger, [TaggedText(text=text, entities=[]) for text in TEXTS[:2]])
    with pytest.raises(
        InputError, match="does not have the data's 'OG': its types are 'PS', 'LC', the data's"
    ):
        evaluate_entities(tagger, [TaggedText(text=TEXTS[0], entities=[(0, 3, "PS"), (5, 7, "OG")])])
    with pytest.raises(InputError, match="outside the text"):
        evaluate_entities(tagger, [TaggedText(text="서울", entities=[(0, 3, "LC")])])


def test_relations(extractor: RelationExtraction) -> None:
    names = list(extractor.model.config.labels.id2label.values())
    rng = np.random.default_rng(0)
    examples = [RelationExample(f"{TEXTS[0]} {i}", (0, 3), (5, 7), str(rng.choice(names))) for i in range(30)]
    predicted = [extractor(one.text, one.subject, one.object)[0]["label"] for one in examples]
    gold = [one.label for one in examples]
    found = evaluate_relations(extractor, examples)
    assert found.values["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(gold, predicted))
    kept = sorted({*gold, *predicted} - {"no_relation"})
    peer = sklearn.metrics.f1_score(gold, predicted, average="micro", labels=kept, zero_division=0)
    assert found.values["micro_f1"] == pytest.approx(peer)
    with pytest.raises(InputError, match="does not have the data's 'per:title'"):
        evaluate_relations(extractor, [RelationExample(TEXTS[0], (0, 3), (5, 7), "per:title")])


def test_data_without_examples(
    classifier: TextClassification, tagger: TokenClassification, extractor: RelationExtraction
) -> None:
    with pytest.raises(InputError, match="the data has no examples"):
        evaluate_classification(classifier, [])
    with pytest.raises(InputError, match="the data has no examples"):
        evaluate_entities(tagger, [])
    with pytest.raises(InputError, match="the data has no examples"):
        evaluate_relations(extractor, [])


def test_scores_that_are_not_numbers(tmp_path: Path) -> None:
    """A model that diverged has an answer to everything, and none of them counts."""
    folder = with_nan(labelled_model(tmp_path / "classifier", labels=LABELS), "classifier.bias")
    with pytest.raises(CheckpointError, match="holds nan at"):
        evaluate_classification(TextClassification(folder), labelled(2))
    folder = labelled_model(tmp_path / "tagger", "BertForTokenClassification", NER_LABELS)
    texts = [TaggedText(text=TEXTS[0], entities=[(0, 3, "PS")])]
    with pytest.raises(CheckpointError, match="holds nan at"):
        evaluate_entities(TokenClassification(with_nan(folder, "classifier.bias")), texts)


def test_a_model_without_the_head(tmp_path: Path) -> None:
    folder = labelled_model(tmp_path, labels=LABELS)
    with pytest.raises(InputError, match="opened with no head"):
        TextClassification(load(folder, None))
    with pytest.raises(CheckpointError, match="token-classification"):
        TokenClassification(folder)
