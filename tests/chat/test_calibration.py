"""A threshold parts what can be answered from what can't, as far as the held-out questions say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang.chat.calibration import calibrate

SCORES = st.lists(st.floats(-1, 1), max_size=60)


def test_two_kinds_that_can_be_told_apart() -> None:
    found = calibrate(np.linspace(0.8, 0.9, 30).tolist(), np.linspace(0.5, 0.7, 30).tolist())
    assert found.threshold == pytest.approx(0.75)
    assert (found.refused, found.wrongly_answered) == (0, 0)


def test_the_threshold_is_the_best_there_is() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(0.8, 0.1, 200), rng.normal(0.6, 0.1, 300)
    found = calibrate(positive.tolist(), negative.tolist())
    every = np.concatenate([positive, negative])
    best = max((positive >= t).mean() - (negative >= t).mean() for t in every)
    assert 1 - found.refused - found.wrongly_answered == pytest.approx(best)


def test_without_answerable_questions_one_in_four_may_pass() -> None:
    found = calibrate([], np.linspace(0, 1, 101).tolist())
    assert found.threshold == pytest.approx(0.75)
    assert found.wrongly_answered == pytest.approx(0.25, abs=0.01)
    assert math.isnan(found.refused)


@given(SCORES, SCORES)
def test_whatever_there_is(answerable: list[float], unanswerable: list[float]) -> None:
    found = calibrate(answerable, unanswerable)
    assert -1 <= found.threshold <= 1
    assert (found.answerable, found.unanswerable) == (len(answerable), len(unanswerable))
