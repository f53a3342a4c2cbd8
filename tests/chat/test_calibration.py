"""A threshold separates answerable questions from others, according to the held-out questions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang.chat.calibration import calibrate

SCORES = st.lists(st.floats(-1, 1), max_size=60)


def test_two_separable_classes() -> None:
    found = calibrate(np.linspace(0.8, 0.9, 30).tolist(), np.linspace(0.5, 0.7, 30).tolist())
    assert found.probability(0.76) > found.threshold > found.probability(0.74)
    assert (found.refused, found.wrongly_answered) == (0, 0)
    assert found.probability(0.9) > 0.95
    assert found.probability(0.5) < 0.05


def test_the_threshold_is_the_best() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(0.8, 0.1, 200), rng.normal(0.6, 0.1, 300)
    found = calibrate(positive.tolist(), negative.tolist())
    every = np.concatenate([positive, negative])
    best = max((positive >= t).mean() - (negative >= t).mean() for t in every)
    assert 1 - found.refused - found.wrongly_answered == pytest.approx(best)
    reached = np.array([found.probability(one) >= found.threshold for one in positive])
    assert 1 - reached.mean() == pytest.approx(found.refused, abs=1 / 200)


@pytest.mark.parametrize("sizes", [(200, 300), (3000, 500), (40, 4000)])
def test_probabilities_are_calibrated(sizes: tuple[int, int]) -> None:
    """Of the answers with a probability of about p, about p are right, if both kinds are equally frequent."""
    rng = np.random.default_rng(1)
    found = calibrate(rng.normal(0.08, 0.03, sizes[0]).tolist(), rng.normal(0.03, 0.03, sizes[1]).tolist())
    leads = np.concatenate([rng.normal(0.08, 0.03, 20_000), rng.normal(0.03, 0.03, 20_000)])
    right = np.arange(40_000) < 20_000
    predicted = np.array([found.probability(one) for one in leads])
    for low in np.arange(0, 1, 0.2):
        inside = (low <= predicted) & (predicted < low + 0.2)
        assert right[inside].mean() == pytest.approx(predicted[inside].mean(), abs=0.12)
    assert found.probability(0.055) == pytest.approx(0.5, abs=0.12)


def test_regression_agrees_with_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(2)
    positive, negative = rng.normal(0.08, 0.03, 300), rng.normal(0.03, 0.03, 500)
    found = calibrate(positive.tolist(), negative.tolist())
    leads = np.concatenate([positive, negative])
    scaled = ((leads - leads.mean()) / leads.std())[:, None]
    truth = np.arange(800) < 300
    other = linear_model.LogisticRegression(C=1.0, class_weight="balanced", tol=1e-10).fit(scaled, truth)
    expected = other.predict_proba(scaled)[:, 1]
    assert [found.probability(one) for one in leads] == pytest.approx(expected.tolist(), abs=1e-5)


def test_without_answerable_questions_one_in_four_may_pass() -> None:
    found = calibrate([], np.linspace(0, 1, 101).tolist())
    assert found.threshold == 0.5
    assert found.probability(0.75) == pytest.approx(0.5)
    assert found.probability(0.9) > 0.7
    assert found.wrongly_answered == pytest.approx(0.25, abs=0.01)
    assert math.isnan(found.refused)


@given(SCORES, SCORES)
def test_any_scores_give_a_monotone_calibration(answerable: list[float], unanswerable: list[float]) -> None:
    found = calibrate(answerable, unanswerable)
    assert 0 <= found.threshold <= 1
    assert (found.answerable, found.unanswerable) == (len(answerable), len(unanswerable))
    probabilities = [found.probability(one) for one in (-math.inf, -1, 0, 0.01, 0.1, 1, math.inf)]
    assert probabilities == sorted(probabilities)
    assert (probabilities[0], probabilities[-1]) == (0, 1)
