"""Training of relations: markers of entities; loss and gradients equal those of a head written by hand.

What can be wrong: no texts, one label only, labels that are not known, texts that are empty or hold a marker,
entities outside of the text, overlapping or too far apart, types that are missing or new.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional

import munjang
from munjang.data.examples import RelationExample
from munjang.errors import InputError
from munjang.training.options import RelationsTask
from munjang.training.tasks.relations import RelationObjective, train_relation_extraction
from support.learning import tiny_model, with_task
from support.sentences import modify_json
from support.task_training import (
    LEARNING,
    assert_cutting_changes_nothing,
    assert_learned,
    assert_same_gradients,
    padded,
    saved,
)

EXAMPLES = [
    RelationExample("한국의 수도는 서울이다.", (0, 3, "LOC"), (8, 12, "LOC"), "capital"),
    RelationExample("오늘 하루 어떻게 보냈나요?", (10, 14, "PER"), (0, 2, "DAT"), "no_relation"),
    RelationExample("A man is eating food.", (2, 5, "PER"), (16, 20, "POH"), "eats"),
    RelationExample("The girl is carrying a baby", (23, 27, "PER"), (4, 8, "PER"), "carried_by"),
]
GOOD = EXAMPLES[0]


def objective(model: Path, **settings: Any) -> RelationObjective:
    given: dict[str, Any] = {"examples": EXAMPLES, "held_out": (), "options": LEARNING, **settings}
    return RelationObjective(model, **with_task(RelationsTask, given))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("start") / "model", dropout=0.0)


class _ByHand(torch.nn.Module):
    """An encoder of `transformers`, and a projection of its vectors of the two start markers."""

    def __init__(self, folder: Path, prefix: str) -> None:
        super().__init__()
        setattr(self, prefix, transformers.AutoModel.from_pretrained(folder))
        weights = munjang.Model.from_pretrained(folder, None).weights
        self.prefix = prefix
        self.relation = torch.nn.Linear(*reversed(weights["relation.weight"].shape))
        self.relation.weight.data = torch.from_numpy(np.array(weights["relation.weight"]))
        self.relation.bias.data = torch.from_numpy(np.array(weights["relation.bias"]))

    def forward(self, inputs: dict[str, torch.Tensor], markers: list[int]) -> torch.Tensor:
        states = getattr(self, self.prefix)(**inputs).last_hidden_state
        places = [(inputs["input_ids"] == marker).int().argmax(dim=1) for marker in markers]
        rows = torch.arange(len(states))
        return self.relation(torch.cat([states[rows, place] for place in places], dim=1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_gradients(architecture: str, tmp_path: Path) -> None:
    made = objective(tiny_model(tmp_path / "model", architecture, dropout=0.0))
    made.save(tmp_path / "saved")
    peer = _ByHand(tmp_path / "saved", architecture)
    markers = made.loaded.tokenizer.convert_tokens_to_ids(["[E1]", "[E2]"])
    inputs, targets = padded(made), torch.tensor([one.target for one in made.examples])
    known = [marker for marker in markers if marker is not None]
    assert_same_gradients(made, peer, lambda: functional.cross_entropy(peer(inputs, known), targets))


def test_gradients_of_a_classifier(model: Path, tmp_path: Path) -> None:
    made = objective(model, head="sequence-classification", markers="klue")
    peer = saved(made, tmp_path / "saved", "AutoModelForSequenceClassification")
    inputs, targets = padded(made), torch.tensor([one.target for one in made.examples])
    assert_same_gradients(made, peer, lambda: peer(**inputs, labels=targets).loss)


@pytest.mark.parametrize("markers", ["plain", "klue", "typed"])
def test_learns_and_serves(markers: Any, model: Path, tmp_path: Path) -> None:
    result = train_relation_extraction(
        EXAMPLES,
        model=str(model),
        output=tmp_path / "run",
        held_out=EXAMPLES,
        options=LEARNING,
        task=RelationsTask(markers=markers),
    )
    assert_learned(result.folder)
    assert result.metrics["micro_f1"] == 1
    relate = munjang.pipeline("relation-extraction", result.folder)
    assert relate.markers.kind == markers
    torch_relate = munjang.pipeline("relation-extraction", result.folder, backend="torch")
    for one in EXAMPLES:
        (best,) = relate(one.text, one.subject, one.object)
        assert best["label"] == one.label
        (same,) = torch_relate(one.text, one.subject, one.object)
        assert abs(best["score"] - same["score"]) < 1e-5
    peer = transformers.AutoModel.from_pretrained(result.folder)  # the encoder, in the published layout
    assert peer.config.vocab_size == len(transformers.AutoTokenizer.from_pretrained(result.folder))


def test_parts_of_a_batch(model: Path) -> None:
    assert_cutting_changes_nothing(objective(model))


def test_a_classifier_answers(model: Path, tmp_path: Path) -> None:
    result = train_relation_extraction(
        EXAMPLES,
        model=str(model),
        output=tmp_path / "run",
        held_out=EXAMPLES,
        options=LEARNING,
        task=RelationsTask(head="sequence-classification"),
    )
    relate = munjang.pipeline("relation-extraction", result.folder)
    assert relate(GOOD.text, GOOD.subject, GOOD.object)[0]["label"] == "capital"


def test_long_texts_are_read_around_their_entities(model: Path) -> None:
    words = "and " * 60
    far = RelationExample(f"{words}man eating food {words}", (240, 243), (251, 255), "eats")
    made = objective(model, examples=[*EXAMPLES, far], max_length=20)
    assert made.describe()["texts cut around their entities"] == 1
    cut = made.examples[-1]
    tokens = made.loaded.tokenizer.convert_ids_to_tokens(cut.texts[0].input_ids)
    assert len(tokens) == 20
    assert [tokens[place] for place in cut.starts] == ["[E1]", "[E2]"]
    assert "food" in tokens


def test_labels_in_the_order_given(model: Path) -> None:
    order = ["no_relation", "eats", "unseen", "capital", "carried_by"]
    made = objective(model, labels=order)
    assert list(made.loaded.model.config.labels.id2label.values()) == order
    assert [order[one.target] for one in made.examples] == [one.label for one in EXAMPLES]


def test_a_regression_becomes_a_classifier(tmp_path: Path) -> None:
    """The problem type of the base model has no effect on the scores of the trained model."""
    folder = tiny_model(tmp_path / "model", dropout=0.0)
    modify_json(folder / "config.json", problem_type="regression")
    made = objective(folder)
    made.save(tmp_path / "saved")
    relate = munjang.pipeline("relation-extraction", tmp_path / "saved")
    scores = [one["score"] for one in relate(GOOD.text, GOOD.subject, GOOD.object, top_k=None)]
    assert sum(scores) == pytest.approx(1)


def test_a_trained_model_keeps_its_markers(model: Path, tmp_path: Path) -> None:
    made = objective(model, markers="typed")
    made.save(tmp_path / "first")
    again = objective(tmp_path / "first", markers="typed")
    assert again.loaded.model.config.vocab_size == made.loaded.model.config.vocab_size
    for name, value in made.loaded.model.weights.items():
        assert np.array_equal(again.loaded.model.weights[name], value), name


def relation(text: str, subject: Any = (0, 2, "LOC"), object: Any = (3, 5, "LOC")) -> RelationExample:  # noqa: A002
    return RelationExample(text, subject, object, "capital")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"examples": []}, "no examples"),
        ({"examples": [GOOD, GOOD]}, "Every example has the label 'capital'"),
        ({"labels": ["capital", "eats", "no_relation"]}, "Example 3 has the label 'carried_by'"),
        (
            {"held_out": [GOOD, RelationExample("서울", (0, 1), (1, 2), "other")]},
            "Held-out example 1 .*'other'",
        ),
        ({"examples": [*EXAMPLES, relation("  ")]}, "Example 4: The text is empty"),
        ({"examples": [*EXAMPLES, relation("서울은")]}, r"Example 4: The object \(3, 5\) is no part"),
        ({"examples": [*EXAMPLES, relation("서울은 한국", (0, 4))]}, "Example 4: .* overlap"),
        (
            {"examples": [*EXAMPLES, relation("서울 [E1] 한국")]},
            r"Example 4: The text holds the marker \[E1\]",
        ),
        ({"held_out": [relation("서울은")]}, "Held-out example 0: The object"),
        (
            {"markers": "typed", "examples": [*EXAMPLES, relation("서울은 한국", (0, 2))]},
            "Example 4: .* subject",
        ),
        (
            {"markers": "typed", "held_out": [relation("서울은 한국의", (0, 2, "NEW"))]},
            "Held-out example 0: .* no subject of type 'NEW'",
        ),
        (
            {"examples": [*EXAMPLES, relation("man " * 60, (0, 3), (200, 203))]},
            "Example 4: The entities are .* apart",
        ),
        ({"held_out": [relation("man " * 60, (0, 3), (200, 203))]}, "Held-out example 0: The entities are"),
        (
            {"head": "masked-lm"},
            "head must be one of 'relation-extraction', .*, got 'masked-lm'",
        ),
        ({"labels": ["a", "b", "a"]}, "The labels 'a', 'b', 'a' must be different"),
        ({"markers": "stars"}, "markers must be one of 'plain', 'klue', 'typed', got 'stars'"),
    ],
)
def test_bad_input(model: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective(model, **settings)
