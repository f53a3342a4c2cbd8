"""Batches for losses with in-batch negatives have no duplicate texts if that is avoidable."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from munjang.training.loop.order import Order
from munjang.training.options import TrainingOptions

EIGHT = TrainingOptions(batch_size=8, epochs=2)


def ones(count: int) -> NDArray[np.intp]:
    return np.ones(count, dtype=np.intp)


def test_no_text_occurs_twice_in_a_batch() -> None:
    conflicts = np.array([[number, 1000 + number % 20] for number in range(200)])
    for epoch in range(3):
        batches = Order(ones(200), EIGHT, conflicts=conflicts).batches(epoch)
        assert sorted(np.concatenate(batches)) == list(range(200))
        for batch in batches[:-1]:
            assert len(set(conflicts[batch].ravel())) == conflicts[batch].size
    without = Order(ones(200), EIGHT).batches(0)
    assert any(len(set(conflicts[batch].ravel())) < conflicts[batch].size for batch in without)


def test_the_order_is_unchanged_without_conflicts() -> None:
    conflicts = np.arange(60).reshape(30, 2)
    with_conflicts, without = Order(ones(30), EIGHT, conflicts=conflicts), Order(ones(30), EIGHT)
    for one, other in zip(with_conflicts.batches(1), without.batches(1), strict=True):
        np.testing.assert_array_equal(one, other)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60),
    st.integers(1, 9),
    st.booleans(),
)
def test_every_example_is_seen_once(pairs: list[tuple[int, int]], size: int, by_tokens: bool) -> None:
    costs = np.arange(1, len(pairs) + 1, dtype=np.intp)
    options = TrainingOptions(batch_size=size, batch_tokens=20 * size if by_tokens else None)
    order = Order(costs, options, conflicts=np.array(pairs, dtype=np.intp))
    assert sorted(np.concatenate(order.batches(0))) == list(range(len(pairs)))
    np.testing.assert_array_equal(np.concatenate(order.batches(0)), np.concatenate(order.batches(0)))
