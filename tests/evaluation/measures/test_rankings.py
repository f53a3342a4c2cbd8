"""nDCG with grades and the reciprocal rank, ties included, against scikit-learn and against all orders."""

from __future__ import annotations

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from munjang.errors import InputError
from munjang.evaluation.measures.rankings import graded_ndcg, mean_reciprocal_rank, reciprocal_rank

LISTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=25)
SHORT = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=6)


@settings(deadline=None)
@given(LISTS, st.integers(1, 12))
def test_ndcg_as_scikit_learn(pairs: list[tuple[int, int]], k: int) -> None:
    scores, relevance = zip(*pairs, strict=True)
    peer = sklearn.metrics.ndcg_score([relevance], [scores], k=k)
    assert graded_ndcg(scores, relevance, k) == pytest.approx(peer)


@settings(deadline=None)
@given(SHORT, st.integers(1, 6))
def test_reciprocal_rank_is_the_mean_over_the_orders_of_equals(pairs: list[tuple[int, int]], k: int) -> None:
    scores, relevance = zip(*pairs, strict=True)
    relevant = [place for place, grade in enumerate(relevance) if grade]
    found = [
        reciprocal_rank(order, relevant, k)
        for order in permutations(range(len(pairs)))
        if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    assert mean_reciprocal_rank(scores, relevance, k) == pytest.approx(np.mean(found))


def test_by_hand() -> None:
    assert mean_reciprocal_rank([0.9, 0.5, 0.7], [0, 2, 1]) == 0.5
    assert mean_reciprocal_rank([0.9, 0.5, 0.7], [0, 1, 0], k=2) == 0
    assert mean_reciprocal_rank([0.1, 0.2], [0, 0]) == graded_ndcg([0.1, 0.2], [0, 0]) == 0
    assert mean_reciprocal_rank([1, 1], [1, 0]) == 0.75  # a model that says nothing gains nothing by luck
    assert graded_ndcg([0.9, 0.5, 0.7], [0, 2, 1]) == pytest.approx(
        (1 / np.log2(3) + 2 / 2) / (2 + 1 / np.log2(3))
    )


def test_bad_sequences() -> None:
    for measure in (mean_reciprocal_rank, graded_ndcg):
        with pytest.raises(InputError, match="2 scores, but 1 grades"):
            measure([0.1, 0.2], [1])
        with pytest.raises(InputError, match="no scores"):
            measure([], [])
        for scores, relevance in (([math.nan, 1], [1, 0]), ([math.inf, 1], [1, 0]), ([0, 1], [1, -1])):
            with pytest.raises(InputError, match="has the score"):
                measure(scores, relevance)
        with pytest.raises(InputError, match="k must be at least 1"):
            measure([0.1, 0.2], [1, 0], k=0)
