"""Batches: each example once per epoch, the same order for the same seed, and the start of a resumed run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang.training.loop.objective import cut_into_parts
from munjang.training.loop.order import Order, generator
from munjang.training.options import TrainingOptions


def costs(n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    return np.random.default_rng(3).integers(1, 50, n).astype(np.intp)


@given(
    st.integers(1, 60),
    st.integers(1, 9),
    st.one_of(st.none(), st.integers(1, 400)),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_every_example_once_an_epoch(
    n: int, batch_size: int, batch_tokens: int | None, accumulated: int, epochs: int
) -> None:
    options = TrainingOptions(
        epochs=epochs,
        batch_size=batch_size,
        batch_tokens=batch_tokens,
        gradient_accumulation_steps=accumulated,
    )
    order = Order(costs(n), options)
    updates = list(order.updates())
    assert [update.number for update in updates] == list(range(1, order.steps + 1))
    for epoch in range(epochs):
        seen = [i for update in updates if update.epoch == epoch for batch in update.batches for i in batch]
        assert sorted(seen) == list(range(n))
    assert all(len(batch) for update in updates for batch in update.batches)
    assert [update.ends_epoch for update in updates].count(True) == epochs


@given(st.integers(1, 40), st.integers(0, 50))
def test_a_resumed_run_continues_with_the_next_batches(n: int, done: int) -> None:
    order = Order(costs(n), TrainingOptions(epochs=3, batch_size=4))
    whole = list(order.updates())
    rest = list(order.updates(after=done))
    assert [u.number for u in rest] == [u.number for u in whole if u.number > done]
    for a, b in zip(rest, whole[done:], strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.batches, b.batches, strict=True))


def test_batches_of_tokens_have_about_the_requested_size() -> None:
    sizes = costs(1000)
    batches = Order(sizes, TrainingOptions(batch_tokens=500)).batches(0)
    tokens = [int(sizes[batch].sum()) for batch in batches]
    assert max(tokens) <= 500 + 50
    assert min(tokens) >= 400


def test_epochs_and_seeds_differ() -> None:
    order = Order(costs(50), TrainingOptions(seed=1))
    assert not np.array_equal(order.batches(0)[0], order.batches(1)[0])
    other = Order(costs(50), TrainingOptions(seed=2))
    assert not np.array_equal(order.batches(0)[0], other.batches(0)[0])


def test_an_incomplete_batch_is_left_out_where_batches_are_whole() -> None:
    order = Order(costs(10), TrainingOptions(batch_size=4), whole_batches=True)
    assert [len(batch) for batch in order.batches(0)] == [4, 4]


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 2), (1, 3), (2.5, 8)])
def test_parts_of_an_epoch(epochs: float, steps: int) -> None:
    assert Order(costs(12), TrainingOptions(epochs=epochs, batch_size=4)).steps == steps
    assert Order(costs(12), TrainingOptions(epochs=epochs, batch_size=4, max_steps=1)).steps == 1


@given(st.lists(st.integers(1, 30), min_size=0, max_size=40), st.integers(1, 60))
def test_parts_fit_the_budget(sizes: list[int], budget: int) -> None:
    array = np.array(sizes, dtype=np.intp)
    places = np.arange(len(sizes), dtype=np.intp)
    parts = list(cut_into_parts(places, array, budget))
    assert [i for part in parts for i in part.tolist()] == places.tolist()
    for part in parts:
        assert len(part) == 1 or array[part].sum() <= budget


def test_random_numbers_depend_only_on_the_position() -> None:
    assert generator(1, 5, 0).random() == generator(1, 5, 0).random()
    assert generator(1, 5, 0).random() != generator(1, 6, 0).random()
