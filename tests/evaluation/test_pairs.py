"""Cross-encoders on labelled pairs: average precision as scikit-learn's, ties and samples included."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score

from munjang import CrossEncoder
from munjang.data.examples import LabelledText
from munjang.errors import InputError
from munjang.evaluation.measures.rankings import TruePairs, average_precision
from munjang.evaluation.sentences import evaluate_true_pairs, is_label
from support.tiny import tiny_cross_encoder

PAIRS = [("a b", "a b"), ("c", "d e"), ("서울", "부산"), ("축구", "축구 경기"), ("a", "z")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return CrossEncoder(tiny_cross_encoder(tmp_path_factory.mktemp("pairs") / "model"))


@pytest.mark.parametrize("seed", range(20))
def test_against_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(30) < 0.4
    truth[0] = True
    scores = rng.integers(0, 8, size=30) / 7  # with ties
    assert average_precision(truth.tolist(), scores) == pytest.approx(average_precision_score(truth, scores))
    weights = rng.integers(0, 4, size=(3, 30)).astype(float)
    weights[:, 0] += 1
    sides = TruePairs(truth.tolist(), scores)
    wanted = [average_precision_score(truth, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(sides.average_precision(weights), wanted)
    right = [accuracy_score(truth, scores > 0.5, sample_weight=row) for row in weights]
    np.testing.assert_allclose(sides.accuracy(weights), right)


def test_nothing_is_true() -> None:
    assert math.isnan(average_precision([False, False], [0.1, 0.2]))
    assert average_precision([True, True], [0.1, 0.1]) == 1


@pytest.mark.parametrize(
    ("label", "name", "same"),
    [
        ("1", "1", True),
        (1.0, "1", True),
        ("1.0", "1", True),
        ("0", "1", False),
        ("same", "same", True),
        ("a", "1", False),
    ],
)
def test_labels(label: Any, name: str, same: bool) -> None:
    assert is_label(label, name) == same


def test_a_model(model: CrossEncoder) -> None:
    labels: list[str | float] = ["1", "0", 0.0, 1.0, "0"]
    examples = [LabelledText(*pair, label) for pair, label in zip(PAIRS, labels, strict=True)]
    found = evaluate_true_pairs(model, examples, intervals=False)
    scores = model.predict(PAIRS)
    truth = [float(label) == 1 for label in labels]
    assert found.metrics["average_precision"].value == pytest.approx(average_precision_score(truth, scores))
    assert found.metrics["accuracy"].value == pytest.approx(accuracy_score(truth, scores > 0.5))
    turned = evaluate_true_pairs(model, examples, positive="0")
    opposite = [not one for one in truth]
    assert turned.metrics["average_precision"].value == pytest.approx(
        average_precision_score(opposite, scores)
    )
    assert turned.metrics["average_precision"].has_interval


def test_bad_input(model: CrossEncoder, tmp_path: Path) -> None:
    pair = LabelledText("a", "b", "0")
    with pytest.raises(InputError, match="no examples"):
        evaluate_true_pairs(model, [])
    with pytest.raises(InputError, match="None of the 1 examples has the label '1'"):
        evaluate_true_pairs(model, [pair])
    with pytest.raises(InputError, match="Example 1 has one text"):
        evaluate_true_pairs(model, [LabelledText("a", "b", "1"), LabelledText("a", None, "0")])
    with pytest.raises(InputError, match="this one has 3"):
        evaluate_true_pairs(CrossEncoder(tiny_cross_encoder(tmp_path / "three", labels=3)), [pair])
