"""The digits of scores in JSON."""

from __future__ import annotations

import numpy as np

from munjang.rounding import rounded, rounded_items, significant


def test_scores_have_six_decimals() -> None:
    assert rounded(0.12345678) == 0.123457
    assert type(rounded(np.float32(0.1).item())) is float
    assert rounded(-0.0000004) == 0


def test_joint_probabilities_have_six_significant_digits() -> None:
    assert significant(0.12345678) == 0.123457
    assert significant(1.23456789e-12) == 1.23457e-12


def test_items_of_a_result() -> None:
    result = {"label": "a", "score": 0.12345678, "start": 3, "kept": True}
    assert rounded_items(result) == {"label": "a", "score": 0.123457, "start": 3, "kept": True}
    assert list(rounded_items(result, "start", "score")) == ["start", "score"]
