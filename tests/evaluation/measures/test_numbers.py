"""Correlations and the squared error, against SciPy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from munjang.errors import InputError
from munjang.evaluation.measures.numbers import NumberPairs, mean_squared_error, pearson, spearman

NUMBER = st.one_of(st.integers(0, 5).map(float), st.floats(-1e3, 1e3).map(lambda x: round(x, 3)))


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=3))
def test_as_scipy(pairs: list[tuple[float, float]]) -> None:
    gold, predicted = np.array(pairs).T
    peer = sklearn.metrics.mean_squared_error(gold, predicted)
    assert mean_squared_error(gold, predicted) == pytest.approx(peer)
    if np.ptp(gold) == 0 or np.ptp(predicted) == 0:
        assert math.isnan(pearson(gold, predicted))
        assert math.isnan(spearman(gold, predicted))
    else:
        assert pearson(gold, predicted) == pytest.approx(scipy.stats.pearsonr(gold, predicted)[0], abs=1e-9)
        assert spearman(gold, predicted) == pytest.approx(scipy.stats.spearmanr(gold, predicted)[0], abs=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e160, 1e307])
def test_squares_beyond_the_range_of_floats(scale: float) -> None:
    gold = np.array([1.0, 3, 2, 5]) * scale
    assert pearson(gold, [1, 2, 4, 4]) == pytest.approx(scipy.stats.pearsonr([1, 3, 2, 5], [1, 2, 4, 4])[0])
    assert pearson([1, 2, 4, 4], gold) == pytest.approx(pearson(gold, [1, 2, 4, 4]))


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_large_numbers_and_float32(offset: float) -> None:
    rng = np.random.default_rng(1)
    gold = rng.normal(size=400) + offset
    predicted = (gold - offset + rng.normal(size=400)).astype(np.float32)
    assert pearson(gold, predicted) == pytest.approx(scipy.stats.pearsonr(gold, predicted)[0], abs=1e-9)


def test_a_statistic_of_a_resample_is_the_measure_of_its_examples() -> None:
    rng = np.random.default_rng(2)
    gold, predicted = rng.integers(4, size=30).astype(float), rng.normal(size=30).round(1)
    drawn = rng.integers(30, size=(9, 30))
    weights = np.array([np.bincount(row, minlength=30) for row in drawn], dtype=np.float64)
    pairs = NumberPairs(gold, predicted)
    for name, plain in (("pearson", scipy.stats.pearsonr), ("spearman", scipy.stats.spearmanr)):
        expected = [plain(gold[row], predicted[row])[0] for row in drawn]
        np.testing.assert_allclose(getattr(pairs, name)(weights), expected, atol=1e-12)


def test_a_sample_with_one_number_only_has_no_correlation() -> None:
    pairs = NumberPairs([0.1, 0.1, 0.7], [1.0, 2.0, 3.0])
    weights = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0]])
    for statistic in (pairs.pearson, pairs.spearman):
        assert np.isnan(statistic(weights)).tolist() == [True, True, False]
    assert pairs.notes == ""
    notes = NumberPairs([1, 2], [0.5, 0.5]).notes
    assert notes == "correlations are undefined: all of the model's scores are 0.5"


@pytest.mark.parametrize("measure", [pearson, spearman, mean_squared_error])
def test_bad_numbers(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(InputError, match="3 gold numbers, but 2 predicted"):
        measure([1, 2, 3], [1, 2])
    with pytest.raises(InputError, match="no gold numbers"):
        measure([], [])
    with pytest.raises(InputError, match="predicted number of example 1 is nan"):
        measure([1, 2, 3], [1, math.nan, math.inf])
    with pytest.raises(InputError, match="shape"):
        measure([[1, 2]], [[1, 2]])
    with pytest.raises(InputError, match="can't be read"):
        measure(["a", "b"], [1, 2])
