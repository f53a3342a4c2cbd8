"""Measures of rankings, against values worked out by hand and against the plain definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang.errors import InputError
from munjang.evaluation.measures.rankings import METRICS, ndcg, ranking_metrics, recall, reciprocal_rank

RANKING = st.permutations(list(range(20)))
RELEVANT = st.sets(st.integers(0, 25), min_size=1, max_size=12)


def test_by_hand() -> None:
    found = ["a", "b", "c", "d"]
    assert reciprocal_rank(found, {"c", "d"}) == pytest.approx(1 / 3)
    assert reciprocal_rank(found, {"x"}) == 0
    assert ndcg(found, {"b"}) == pytest.approx(1 / math.log2(3))
    assert ndcg(found, {"a", "c", "x"}) == pytest.approx(
        (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3) + 1 / math.log2(4))
    )
    assert recall(found, {"b"}, 1) == 0
    assert recall(found, {"b"}, 2) == 1


@given(RANKING, RELEVANT)
def test_definitions(found: list[int], relevant: set[int]) -> None:
    hits = np.array([one in relevant for one in found[:10]], dtype=float)
    discount = 1 / np.log2(np.arange(2, 12))
    ideal = np.sort(np.pad(np.ones(len(relevant)), (0, 20)))[::-1][:10]
    assert ndcg(found, relevant) == pytest.approx((hits * discount).sum() / (ideal * discount).sum())
    first = np.flatnonzero(hits)
    assert reciprocal_rank(found, relevant) == pytest.approx(1 / (first[0] + 1) if len(first) else 0)
    assert recall(found, relevant, 10) == float(hits.any())


def test_bad_rankings() -> None:
    assert ndcg(["a"], set()) == 0
    with pytest.raises(InputError, match="1 rankings, but 2 sets of relevant items"):
        ranking_metrics([["a"]], [{"a"}, {"b"}])
    with pytest.raises(InputError, match="ranking of query 1 has an item twice"):
        ranking_metrics([["a"], ["b", "b"]], [{"a"}, {"b"}])
    assert ranking_metrics([["a", "b"]], [["a", "a"]])["nDCG@10"].value == 1
    with pytest.raises(InputError, match="no rankings"):
        ranking_metrics([], [])


def test_intervals_hold_the_mean_and_narrow_with_more_queries() -> None:
    rng = np.random.default_rng(3)
    few = [[1 if rng.random() < 0.6 else 0] for _ in range(40)]
    metrics = ranking_metrics(few, [{1}] * 40)
    many = ranking_metrics(few * 25, [{1}] * 1000)
    assert tuple(metrics) == METRICS
    for name in METRICS:
        assert metrics[name].low <= metrics[name].value <= metrics[name].high
        width = metrics[name].high - metrics[name].low
        assert many[name].value == pytest.approx(metrics[name].value)
        assert (many[name].high - many[name].low) == pytest.approx(width / 5, rel=0.25)
    # The normal approximation of a proportion, 40 draws.
    mean = metrics["Recall@1"].value
    expected = 2 * 1.96 * math.sqrt(mean * (1 - mean) / 40)
    assert metrics["Recall@1"].high - metrics["Recall@1"].low == pytest.approx(expected, rel=0.15)
