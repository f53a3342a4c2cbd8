"""Entities in texts: the reference's groups and scores, offsets in the caller's text, long texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

import munjang
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.runtime.model import Model
from munjang.tasks.aggregation import STRATEGIES, ScoredToken, group
from munjang.tasks.token_classification import TokenClassification
from munjang.tokenization import Tokenizer
from support.labelled import MAX_LENGTH, NER_LABELS, TEXTS, labelled_model, peer_pipeline

LABELS = dict(enumerate(NER_LABELS))
TOLERANCE = 1e-5


def ner_model(folder: Path, kind: str = "Bert", labels: Sequence[str] = NER_LABELS, **settings: Any) -> Path:
    return labelled_model(folder, f"{kind}ForTokenClassification", labels, **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ner_model(tmp_path_factory.mktemp("models") / "ner")


@pytest.fixture(scope="module")
def tag(folder: Path) -> TokenClassification:
    return TokenClassification(folder)


def assert_same(ours: Any, theirs: Any, text: str) -> None:
    assert len(ours) == len(theirs)
    for found, expected in zip(ours, theirs, strict=True):
        assert set(found) == set(expected)
        for key in set(found) - {"score", "word"}:
            assert found[key] == expected[key]
        assert found["score"] == pytest.approx(float(expected["score"]), abs=TOLERANCE)
        whole = "entity_group" in found
        assert found["word"] == (text[found["start"] : found["end"]] if whole else expected["word"])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["Bert", "Electra", "DistilBert"])
def test_values_of_the_reference(kind: str, strategy: Any, tmp_path: Path) -> None:
    ner_model(tmp_path, kind)
    ours, theirs = TokenClassification(tmp_path), peer_pipeline("token-classification", tmp_path)
    for ignored in (["O"], ["PS", "B-PS"], []):
        settings = {"aggregation_strategy": strategy, "ignore_labels": ignored}
        found: Any = ours(TEXTS, **settings)
        for text, entities in zip(TEXTS, found, strict=True):
            assert_same(entities, theirs(text, **settings), text)


@pytest.mark.parametrize("strategy", ["none", "simple"])
def test_values_of_the_reference_for_bytes(strategy: Any, tmp_path: Path) -> None:
    ner_model(tmp_path, "Roberta", longest=120)
    ours, theirs = TokenClassification(tmp_path), peer_pipeline("token-classification", tmp_path)
    for text in TEXTS[:3]:
        found: Any = ours(text, aggregation_strategy=strategy)
        assert_same(found, theirs(text, aggregation_strategy=strategy), text)


# A text as tokens: (token, whether it continues a word, label -> score)
Made = tuple[str, bool, dict[str, float]]
WRITTEN: dict[str, list[Made]] = {
    "two of one type, side by side": [
        ("ann", False, {"B-PS": 0.9}),
        ("bob", False, {"B-PS": 0.8}),
        ("cy", False, {"I-PS": 0.6}),
    ],
    "goes on with nothing": [
        ("in", False, {"O": 0.9}),
        ("rome", False, {"I-LC": 0.7}),
        ("now", False, {"O": 0.5}),
    ],
    "another type within": [
        ("new", False, {"B-LC": 0.9}),
        ("york", False, {"I-PS": 0.5, "I-LC": 0.4}),
        ("city", False, {"I-LC": 0.8}),
    ],
    "pieces that disagree": [
        ("seo", False, {"B-LC": 0.6, "B-PS": 0.2}),
        ("##ul", True, {"I-PS": 0.9}),
        ("##ite", True, {"O": 0.55, "I-LC": 0.4}),
        ("is", False, {"O": 0.99}),
    ],
    "a word begins inside an entity": [
        ("lee", False, {"B-PS": 0.8}),
        ("soon", False, {"I-PS": 0.7}),
        ("##shin", True, {"B-PS": 0.75}),
        ("##eun", True, {"O": 0.4, "I-PS": 0.35}),
    ],
    "nothing but outside": [("a", False, {"O": 0.6}), ("b", False, {"O": 0.7})],
}


def scores_of(given: dict[str, float]) -> Any:
    rest = (1 - sum(given.values())) / len(NER_LABELS)
    return np.array([given.get(label, 0) + rest for label in NER_LABELS], dtype=np.float32)


def laid_out(made: list[Made]) -> tuple[str, list[dict[str, Any]]]:
    text, tokens = "", []
    for index, (token, goes_on, given) in enumerate(made):
        piece = token.removeprefix("##")
        text += piece if goes_on or not text else f" {piece}"
        tokens.append(
            {
                "word": token,
                "scores": scores_of(given),
                "start": len(text) - len(piece),
                "end": len(text),
                "index": index,
                "is_subword": goes_on,
            }
        )
    return text, tokens


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_groups_of_the_reference(name: str, strategy: Any, folder: Path) -> None:
    text, laid = laid_out(WRITTEN[name])
    peer = peer_pipeline("token-classification", folder)
    aggregation = transformers.pipelines.token_classification.AggregationStrategy[strategy.upper()]
    expected = peer.aggregate([dict(token) for token in laid], aggregation)
    word, tokens = -1, []
    for token in laid:
        word += not token["is_subword"]
        tokens.append(
            ScoredToken(token["word"], token["start"], token["end"], token["index"], word, token["scores"])
        )
    assert_same(group(tokens, LABELS, strategy, text), expected, text)


def test_groups_by_hand() -> None:
    def entities(name: str, strategy: Any) -> list[tuple[str, str]]:
        text, laid = laid_out(WRITTEN[name])
        word, tokens = -1, []
        for at, token in enumerate(laid):
            word += not token["is_subword"]
            tokens.append(ScoredToken(token["word"], token["start"], token["end"], at, word, token["scores"]))
        found = group(tokens, LABELS, strategy, text)
        return [(entity["entity_group"], entity["word"]) for entity in found if entity["entity_group"] != "O"]

    assert entities("two of one type, side by side", "simple") == [("PS", "ann"), ("PS", "bob cy")]
    assert entities("goes on with nothing", "simple") == [("LC", "rome")]
    assert entities("another type within", "simple") == [("LC", "new"), ("PS", "york"), ("LC", "city")]
    assert entities("pieces that disagree", "first") == [("LC", "seoulite")]
    assert entities("pieces that disagree", "max") == [("PS", "seoulite")]
    assert entities("nothing but outside", "simple") == []


def test_tags_with_a_suffix(folder: Path, tmp_path: Path) -> None:
    """Published Korean models have labels such as ``PER-B``; they are the same entities."""
    ner_model(tmp_path, labels=("O", "PS-B", "PS-I", "LC-B", "LC-I"))
    assert TokenClassification(tmp_path)(TEXTS) == TokenClassification(folder)(TEXTS)


def test_offsets_refer_to_the_given_text(tag: TokenClassification) -> None:
    composed = tag(TEXTS[0], ignore_labels=[])
    text = unicodedata.normalize("NFD", TEXTS[0])
    found = tag(text, ignore_labels=[])
    assert [unicodedata.normalize("NFC", entity["word"]) for entity in found] == [
        entity["word"] for entity in composed
    ]
    assert all(entity["word"] == text[entity["start"] : entity["end"]] for entity in found)


def test_a_long_text_is_read_in_windows(folder: Path, tag: TokenClassification) -> None:
    text = " ".join(TEXTS * 2)
    encoding = Tokenizer.from_pretrained(folder).encode_batch([text])[0]
    own, room = encoding.input_ids[1:-1], MAX_LENGTH - 2
    assert len(own) > 2 * room
    starts = [*range(0, len(own) - room, room // 2), len(own) - room]
    model = Model.from_pretrained(folder, "token-classification")
    rows = [[encoding.input_ids[0], *own[at : at + room], encoding.input_ids[-1]] for at in starts]
    logits = model(np.array(rows)).logits
    assert logits is not None
    expected = []
    for at in range(len(own)):

        def context(start: int, at: int = at) -> float:
            before = at - start if start else np.inf
            after = start + room - 1 - at if start + room < len(own) else np.inf
            return min(before, after) if start <= at < start + room else -1

        start = max(starts, key=context)
        expected.append(NER_LABELS[int(logits[starts.index(start), at - start + 1].argmax())])
    found = tag(text, aggregation_strategy="none", ignore_labels=[])
    assert [token["entity"] for token in found] == expected
    assert [token["index"] for token in found] == list(range(1, len(own) + 1))
    assert [(token["start"], token["end"]) for token in found] == encoding.offsets[1:-1]


def test_single_and_several(tag: TokenClassification, folder: Path) -> None:
    single = tag(TEXTS[1])
    assert [entity["word"] for entity in tag([TEXTS[0], TEXTS[1]])[1]] == [e["word"] for e in single]
    assert tag([]) == []
    assert munjang.pipeline("ner", folder)(TEXTS[1]) == single


@pytest.mark.parametrize(
    ("texts", "settings", "error", "message"),
    [
        ("", {}, InputError, "The text is empty"),
        (["a", "\n"], {}, InputError, "Text 1 is empty"),
        ([b"a"], {}, InputTypeError, "The text must be a str, got b'a'"),
        (4, {}, InputTypeError, "got 4"),
        ("a", {"aggregation_strategy": "last"}, InputError, "'last'; there are none, simple"),
        ("a", {"ignore_labels": "O"}, InputTypeError, "ignore_labels must be a list"),
    ],
)
def test_bad_input(
    texts: Any, settings: dict[str, Any], error: type[Exception], message: str, tag: TokenClassification
) -> None:
    with pytest.raises(error, match=message):
        tag(texts, **settings)


def test_a_model_without_the_head(tmp_path: Path) -> None:
    labelled_model(tmp_path)
    with pytest.raises(CheckpointError, match="no trained token-classification head; it has sequence-class"):
        TokenClassification(tmp_path)
