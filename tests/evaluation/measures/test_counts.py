"""Accuracy, F1 and Matthews' correlation of labels, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from munjang.errors import InputError
from munjang.evaluation.measures.counts import LabelPairs, accuracy, macro_f1, matthews, micro_f1
from munjang.evaluation.measures.resampling import point

LABELS = "가나다라마"
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS[1:] + "바")), min_size=1)


@settings(deadline=None)
@given(PAIRS)
def test_as_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = [one for one, _ in pairs], [other for _, other in pairs]
    assert accuracy(gold, predicted) == pytest.approx(sklearn.metrics.accuracy_score(gold, predicted))
    peer = sklearn.metrics.f1_score(gold, predicted, average="macro", zero_division=0)
    assert macro_f1(gold, predicted) == pytest.approx(peer)
    if len({*gold, *predicted}) > 1:  # it warns of a matrix of one cell
        assert matthews(gold, predicted) == pytest.approx(sklearn.metrics.matthews_corrcoef(gold, predicted))
    kept = sorted({*gold, *predicted} - {"나"})
    if kept:
        peer = sklearn.metrics.f1_score(gold, predicted, average="micro", labels=kept, zero_division=0)
        assert micro_f1(gold, predicted, ignored=["나"]) == pytest.approx(peer)


@settings(deadline=None)
@given(PAIRS)
def test_precision_recall_and_the_f1_of_one_label(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = [one for one, _ in pairs], [other for _, other in pairs]
    found = LabelPairs(gold, predicted, ignored=["나"])
    for label, kept in [(label, [label]) for label in found.names]:
        peer = sklearn.metrics.f1_score(gold, predicted, average=None, labels=kept, zero_division=0)
        assert point(found.f1_of(label), len(gold)) == pytest.approx(peer[0])
    if found.names:
        for name in ("precision", "recall"):
            score = getattr(sklearn.metrics, f"{name}_score")
            peer = score(gold, predicted, average="micro", labels=list(found.names), zero_division=0)
            assert point(getattr(found, name), len(gold)) == pytest.approx(peer)


def test_a_statistic_of_a_resample_is_the_measure_of_its_examples() -> None:
    rng = np.random.default_rng(2)
    gold, predicted = rng.integers(6, size=50).tolist(), rng.integers(6, size=50).tolist()
    drawn = rng.integers(50, size=(7, 50))
    weights = np.array([np.bincount(row, minlength=50) for row in drawn], dtype=np.float64)
    pairs = LabelPairs(gold, predicted)
    for name, plain in (("accuracy", accuracy), ("macro_f1", macro_f1), ("matthews", matthews)):
        expected = [plain([gold[i] for i in row], [predicted[i] for i in row]) for row in drawn]
        np.testing.assert_allclose(getattr(pairs, name)(weights), expected, atol=1e-12)


def test_a_single_class() -> None:
    assert accuracy(["a"] * 4, ["a"] * 4) == macro_f1(["a"] * 4, ["a"] * 4) == 1
    assert matthews(["a"] * 4, ["a"] * 4) == 0


@pytest.mark.parametrize("measure", [accuracy, macro_f1, micro_f1, matthews])
def test_bad_sequences(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(InputError, match="3 gold labels, but 2 predicted"):
        measure(["a", "b", "a"], ["a", "b"])
    with pytest.raises(InputError, match="no gold labels"):
        measure([], [])
