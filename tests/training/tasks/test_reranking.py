"""Training of cross-encoders: the losses and gradients of `sentence-transformers`, which loads the result.

What can be wrong: no examples, several kinds of them, one text instead of two, labels that are neither 0 nor
1, scores and grades that are negative, too high, no numbers or all the same, lists that are empty or lack
grades, and a loss that does not suit the examples.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import munjang
from munjang.data.examples import LabelledText, RankedList, ScoredPair
from munjang.errors import InputError, InputTypeError
from munjang.training.options import RerankingTask
from munjang.training.tasks.reranking import CrossEncoderObjective, judged, train_cross_encoder
from support.learning import tiny_model, with_task
from support.sentences import TEXTS
from support.task_training import (
    LEARNING,
    assert_cutting_changes_nothing,
    assert_learned,
    assert_same_gradients,
)

QUERY, OTHER = "A man is eating food.", "오늘 하루 어떻게 보냈나요?"
LABELLED = [
    LabelledText(QUERY, "A man is eating", "1"),
    LabelledText(QUERY, "한국의 수도는 서울이다.", 0.0),
    LabelledText(OTHER, "오늘 하루", 1.0),
    LabelledText(OTHER, TEXTS[2], "0"),
]
SCORED = [
    ScoredPair(QUERY, "A man is eating", 5.0),
    ScoredPair(QUERY, "The girl is carrying a baby", 1.5),
    ScoredPair(OTHER, TEXTS[2], 0.0),
    ScoredPair(OTHER, "오늘 하루", 3.75),
]
LISTS = [
    RankedList(QUERY, ("한국의 수도는 서울이다.", "A man is eating", "two men pushed carts"), (0, 2, 1)),
    RankedList(OTHER, ("오늘 하루", "a"), (1, 0)),
    RankedList("baby", ("The girl is carrying a baby", "food", "woods", "축구는 정말"), (1, 0, 0, 0)),
]


def objective(model: Path, examples: Any, **settings: Any) -> CrossEncoderObjective:
    given: dict[str, Any] = {"held_out": (), "options": LEARNING, **settings}
    return CrossEncoderObjective(model, examples, **with_task(RerankingTask, given))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("start") / "model", dropout=0.0)


def peer_of(made: CrossEncoderObjective, folder: Path) -> Any:
    from sentence_transformers import CrossEncoder

    made.save(folder)
    return CrossEncoder(str(folder), device="cpu", num_labels=1).train()


def columns(examples: list[Any]) -> list[list[str]]:
    pairs = [pair for one in judged(examples) for pair in one.pairs]
    return [list(column) for column in zip(*pairs, strict=True)]


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert"])
def test_gradients_of_scores(architecture: str, tmp_path: Path) -> None:
    from sentence_transformers.cross_encoder import losses

    made = objective(tiny_model(tmp_path / "model", architecture, dropout=0.0), SCORED)
    peer = peer_of(made, tmp_path / "saved")
    loss = losses.BinaryCrossEntropyLoss(peer)
    labels = torch.tensor([1.0, 0.3, 0.0, 0.75])
    assert_same_gradients(made, peer[0].model, lambda: loss(columns(SCORED), labels))


@pytest.mark.parametrize("name", ["binary-cross-entropy", "mean-squared-error"])
def test_gradients_of_labels(name: Any, model: Path, tmp_path: Path) -> None:
    from sentence_transformers.cross_encoder import losses

    made = objective(model, LABELLED, loss=name)
    peer = peer_of(made, tmp_path / "saved")
    classes = {"binary-cross-entropy": losses.BinaryCrossEntropyLoss, "mean-squared-error": losses.MSELoss}
    loss = classes[name](peer)
    labels = torch.tensor([1.0, 0.0, 1.0, 0.0])
    assert_same_gradients(made, peer[0].model, lambda: loss(columns(LABELLED), labels))


@pytest.mark.parametrize("name", ["listnet", "ranknet"])
def test_gradients_of_lists(name: Any, model: Path, tmp_path: Path) -> None:
    from sentence_transformers.cross_encoder import losses

    made = objective(model, LISTS, loss=name)
    peer = peer_of(made, tmp_path / "saved")
    loss = (
        losses.ListNetLoss(peer) if name == "listnet" else losses.RankNetLoss(peer, reduction_log="natural")
    )
    inputs = [[one.query for one in LISTS], [list(one.documents) for one in LISTS]]
    labels = [torch.tensor(one.relevance) for one in LISTS]
    assert_same_gradients(made, peer[0].model, lambda: loss(inputs, labels))


@pytest.mark.parametrize(
    ("examples", "loss", "metric"),
    [
        (LABELLED, None, "average_precision"),
        (SCORED, None, "spearman"),
        (SCORED, "mean-squared-error", "spearman"),
        (LISTS, None, "MRR@10"),
        (LISTS, "ranknet", "MRR@10"),
        (LISTS, "binary-cross-entropy", "MRR@10"),
    ],
)
def test_learns_and_serves(examples: Any, loss: Any, metric: str, model: Path, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    result = train_cross_encoder(
        examples,
        model=str(model),
        output=tmp_path / "run",
        held_out=examples,
        options=LEARNING,
        task=RerankingTask(loss=loss),
    )
    assert result.metrics[metric] == pytest.approx(1.0)
    pairs = list(zip(*columns(examples), strict=True))
    ours = munjang.CrossEncoder(result.folder)
    peer = CrossEncoder(str(result.folder), device="cpu")
    assert type(peer.activation_fn).__name__ == (
        "Sigmoid" if ours.activation_fn.__name__ == "sigmoid" else "Identity"
    )
    np.testing.assert_allclose(ours.predict(pairs), peer.predict(pairs), atol=1e-5)
    if loss != "ranknet" and not isinstance(examples[0], RankedList):
        assert_learned(result.folder)


@pytest.mark.parametrize("loss", ["binary-cross-entropy", "mean-squared-error", "listnet", "ranknet"])
def test_parts_of_a_batch(loss: Any, model: Path) -> None:
    assert_cutting_changes_nothing(objective(model, LISTS, loss=loss))


def test_activations(model: Path, tmp_path: Path) -> None:
    for loss, wanted in (
        ("binary-cross-entropy", "sigmoid"),
        ("listnet", "identity"),
        ("ranknet", "identity"),
    ):
        objective(model, LISTS, loss=loss).save(tmp_path / loss)
        found: Any = munjang.CrossEncoder(tmp_path / loss).activation_fn
        assert found.__name__ == wanted


def test_a_trained_head_is_trained_further(model: Path, tmp_path: Path) -> None:
    made = objective(model, SCORED)
    made.save(tmp_path / "first")
    again = objective(tmp_path / "first", LISTS)
    name = "classifier.weight"
    assert np.array_equal(again.loaded.model.weights[name], made.loaded.model.weights[name])


def test_long_pairs(model: Path, tmp_path: Path) -> None:
    """The saved model and the held-out evaluation use the maximum length of the training."""
    made = objective(model, SCORED, held_out=SCORED, max_length=12)
    assert made.describe()["pairs cut"] == sum(
        len(made.loaded.tokenizer.encode(one.sentence1, one.sentence2)) > 12 for one in SCORED
    )
    assert made.costs().max() == 12
    assert 0 < made.describe()["pairs cut"] < 4  # type: ignore[operator]
    assert set(made.evaluate()) == {"spearman", "pearson"}
    made.save(tmp_path / "saved")
    assert munjang.CrossEncoder(tmp_path / "saved").max_length == 12


def test_positive_labels(model: Path) -> None:
    """In some data 0 means that two questions are the same."""
    examples = [LabelledText("a", "b", "same"), LabelledText("a", "c", "other")]
    made = objective(model, examples, held_out=examples, positive="same")
    assert [one.targets for one in made.examples] == [(1.0,), (0.0,)]
    made = objective(model, LABELLED, held_out=LABELLED, positive="0")
    assert [one.targets for one in made.examples] == [(0.0,), (1.0,), (0.0,), (1.0,)]
    assert set(made.evaluate()) == {"average_precision", "accuracy"}


def test_lists_without_different_grades(model: Path) -> None:
    same = RankedList("food", ("a man", "two men"), (1, 1))
    made = objective(model, [*LISTS, same])
    assert len(made.examples) == 3
    assert made.describe()["lists left out, as no document is better"] == 1
    assert len(objective(model, [*LISTS, same], loss="binary-cross-entropy").examples) == 4


def test_other_held_out_examples(model: Path) -> None:
    """Ranked lists for training, scored pairs for the evaluation."""
    assert objective(model, LISTS, held_out=SCORED).metric == "spearman"
    assert objective(model, SCORED, held_out=LISTS).metric == "MRR@10"
    assert objective(model, SCORED).metric is None


NAN = math.nan
GOOD = ScoredPair("a", "b", 2.0)


@pytest.mark.parametrize(
    ("examples", "settings", "message"),
    [
        ([], {}, "no examples"),
        ([GOOD, GOOD], {}, "All of the 2 examples have the number 2"),
        ([*SCORED, ScoredPair("a", "b", NAN)], {}, "Example 4: The score is nan"),
        ([*SCORED, ScoredPair("a", "b", -1.0)], {}, "Example 4: The score is -1"),
        (SCORED, {"highest": 4.0}, "Example 0 has the score 5; the highest is 4"),
        (SCORED, {"highest": NAN}, "highest must be a number, got nan"),
        (LABELLED, {"highest": 4.0}, "highest=4.0 has no effect on examples with labels"),
        (SCORED, {"positive": "1"}, "positive='1' has no effect on examples without labels"),
        (SCORED, {"loss": "listnet"}, "'listnet' compares the documents of a list"),
        (SCORED, {"loss": "hinge"}, "loss must be one of 'binary-cross-entropy', .*, got 'hinge'"),
        (SCORED, {"held_out": [GOOD, GOOD]}, "All of the 2 held-out examples"),
        (SCORED, {"held_out": [GOOD, ScoredPair("a", "b", NAN)]}, "Held-out example 1: The score is nan"),
        (SCORED, {"max_length": 900}, "the model takes 48 tokens"),
        ([*LABELLED, LabelledText("a", None, "1")], {}, "Example 4: A cross-encoder reads two texts"),
        ([*LABELLED, LabelledText("a", "b", "yes")], {}, "Example 4: The label 'yes' is neither 0 nor 1"),
        ([*LABELLED, LabelledText("a", "b", 0.5)], {}, "Example 4: The label 0.5 is neither 0 nor 1"),
        ([LABELLED[0], LABELLED[2]], {}, "All of the 2 examples have the number 1"),
        (LABELLED, {"positive": "same"}, "All of the 4 examples have the number 0"),
        ([*LISTS, RankedList("a", (), ())], {}, "Example 3: There are no documents"),
        ([*LISTS, RankedList("a", ("b", "c"), (1,))], {}, "Example 3: There are 2 documents, but 1 grades"),
        ([*LISTS, RankedList("a", ("b", "c"), (1, NAN))], {}, "Example 3: The relevance is nan"),
        ([RankedList("a", ("b",), (1,)), RankedList("c", ("d",), (0,))], {}, "In none of the 2 lists"),
    ],
)
def test_bad_input(model: Path, examples: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective(model, examples, **settings)


def test_wrong_kinds(model: Path) -> None:
    with pytest.raises(InputTypeError, match="Example 0 is a ScoredPair, example 4 a RankedList"):
        objective(model, [*SCORED, LISTS[0]])
    with pytest.raises(InputTypeError, match="Example 0 must be a LabelledText or ScoredPair or RankedList"):
        objective(model, [("a", "b")])
