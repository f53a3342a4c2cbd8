"""Each text gets its result for all lengths, budgets and streams, in bounded memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from munjang.backends.executor import Executor
from munjang.backends.numpy import NumpyExecutor
from munjang.backends.registry import BACKENDS
from munjang.models.program import LAST_HIDDEN_STATE, LOGITS
from munjang.runtime.model import Model
from munjang.runtime.runner import Done, Layout, Runner, deduplicate, pack, plan, token_key
from munjang.tokenization import TokenIds
from support.peers import random_peer

HEAD = "sequence-classification"
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)
Vectors = NDArray[np.float32]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("bert")
    random_peer("bert", folder, head=True, settings={"initializer_range": 0.1, "num_hidden_layers": 2})

    @cache
    def make(backend: str = "openvino", streams: int = 2) -> Model:
        return Model.from_pretrained(folder, HEAD, backend=backend, threads=2, streams=streams)

    return make


def texts_of(lengths: Sequence[int], seed: int = 0) -> list[TokenIds]:
    generator = np.random.default_rng(seed)
    return [
        TokenIds(
            generator.integers(0, 67, size=length).tolist(),
            None if length % 3 else generator.integers(0, 2, size=length).tolist(),
        )
        for length in lengths
    ]


def in_order(results: Iterator[Done], count: int) -> tuple[Vectors, list[Vectors]]:
    """Logits and token vectors of each text, in the caller's order."""
    logits = np.full((count, 3), np.nan, dtype=np.float32)
    tokens: list[Any] = [None] * count
    for done in results:
        logits[done.indices] = done.outputs[LOGITS]
        for index, vectors in zip(done.indices, done.split(LAST_HIDDEN_STATE), strict=True):
            assert tokens[index] is None
            tokens[index] = vectors
    return logits, tokens


@given(LENGTHS, st.integers(1, 200), st.sampled_from([1, 2]), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_results_are_the_reference_s_in_the_caller_s_order(
    models: Any, lengths: list[int], budget: int, streams: int, seed: int
) -> None:
    model = models(streams=streams)
    program = model.program(frozenset({LAST_HIDDEN_STATE, LOGITS}))
    texts = texts_of(lengths, seed)
    logits, tokens = in_order(model.runner.run(program, texts, token_budget=budget), len(texts))
    reference = NumpyExecutor(model.weights).compile(program)(pack(texts, model.runner.layout))
    assert np.abs(logits - reference[LOGITS]).max() < 1e-5
    expected = np.split(reference[LAST_HIDDEN_STATE], np.cumsum(lengths)[:-1])
    for ours, theirs in zip(tokens, expected, strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 1e-5


@given(LENGTHS, st.integers(1, 300), st.integers(1, 8))
@settings(deadline=None)
def test_a_plan_holds_each_text_once_and_keeps_to_the_budget(
    lengths: list[int], budget: int, streams: int
) -> None:
    groups = plan(lengths, token_budget=budget, streams=streams)
    planned = [i for group in groups for i in group]
    assert sorted(planned) == list(range(len(lengths)))
    assert [lengths[i] for i in planned] == sorted(lengths, reverse=True)
    for group in groups:
        assert group
        assert len(group) == 1 or sum(lengths[i] for i in group) <= budget


@given(LENGTHS, st.integers(0, 9), st.sampled_from([0, 2]))
@settings(deadline=None)
def test_a_packed_batch_and_its_padded_view_agree(lengths: list[int], seed: int, offset: int) -> None:
    texts = texts_of(lengths, seed)
    layout = Layout(
        vocab_size=67,
        type_vocab_size=2,
        max_length=40,
        position_offset=offset,
        pad_token_id=max(offset - 1, 0),
    )
    batch = pack(texts, layout)
    assert batch.input_ids.tolist() == [i for text in texts for i in text.input_ids]
    size, longest = len(texts), max(lengths)
    is_token = batch.attention_bias[:, 0, 0, :] == 0
    assert is_token.shape == (size, longest)
    assert is_token.sum(axis=1).tolist() == lengths
    padded = batch.input_ids[batch.pad_index]
    for row, text in zip(padded, texts, strict=True):
        assert row[: len(text.input_ids)].tolist() == text.input_ids
    np.testing.assert_array_equal(padded.reshape(-1)[batch.unpad_index], batch.input_ids)
    assert batch.rows.tolist() == [0, *np.cumsum(lengths)[:-1]]
    np.testing.assert_allclose(batch.pool_weights.sum(axis=(1, 2)), 1, rtol=1e-6)
    assert not batch.pool_weights[:, 0][~is_token].any()
    for array in (batch.input_ids, batch.position_ids, batch.token_type_ids, batch.pad_index, batch.rows):
        assert array.dtype == np.int32


def test_small_calls_are_shared_out_over_the_streams() -> None:
    assert len(plan([40] * 10, token_budget=1024, streams=2)) == 2
    assert len(plan([10] * 3, token_budget=1024, streams=2)) == 1  # too small to be worth it
    assert len(plan([40] * 100, token_budget=1024, streams=4)) % 4 == 0
    assert plan([], token_budget=1024, streams=2) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_texts_and_results_are_not_accumulated(backend: str, models: Any) -> None:
    """Batches are created when they are needed, and a result that the caller drops is freed."""
    model = models(backend)
    program = model.program(frozenset({LOGITS}))
    batch = pack(texts_of([7, 5]), model.runner.layout)
    made = 0

    def batches() -> Iterator[tuple[int, Any]]:
        nonlocal made
        for number in range(50):
            made += 1
            yield number, batch

    at_once = 3 if backend == "openvino" else 1
    alive: list[weakref.ref[Any]] = []
    taken: list[int] = []
    for number, outputs in model.runner.compiled(program).run_many(batches()):
        taken.append(number)
        alive = [reference for reference in alive if reference() is not None]
        alive.append(weakref.ref(outputs[LOGITS]))
        assert made <= len(taken) + 2 * at_once
        assert len(alive) <= 2 * at_once + 1
        del outputs
    assert sorted(taken) == list(range(50))


def test_a_program_is_compiled_once(models: Any) -> None:
    runner: Runner = models().runner
    first = runner.compiled(models().program(frozenset({LOGITS})))
    assert runner.compiled(models().program(frozenset({LOGITS}))) is first
    assert runner.compiled(models().program(frozenset({LAST_HIDDEN_STATE}))) is not first


def test_a_caller_may_change_a_batch_before_it_runs(models: Any) -> None:
    """The caller chooses the rows of the last layer: here each text's last token."""
    model = models()
    texts = texts_of([9, 4, 17, 4])
    seen: list[int] = []

    def last_tokens(batch: Any, indices: Sequence[int]) -> Any:
        seen.extend(indices)
        ends = np.cumsum([len(texts[i].input_ids) for i in indices], dtype=np.int32) - 1
        return replace(batch, rows=ends)

    program = model.program(frozenset({LOGITS}))
    changed = np.empty((4, 3), dtype=np.float32)
    for done in model.runner.run(program, texts, edit=last_tokens):
        changed[done.indices] = done.outputs[LOGITS]
    assert sorted(seen) == [0, 1, 2, 3]
    # The same by hand: every token's vector, then the head on the last of each text.
    _, tokens = in_order(
        model.runner.run(model.program(frozenset({LAST_HIDDEN_STATE, LOGITS})), texts), len(texts)
    )
    weights = model.weights
    last = np.stack([vectors[-1] for vectors in tokens])
    pooled = np.tanh(last @ weights["bert.pooler.dense.weight"].T + weights["bert.pooler.dense.bias"])
    expected = pooled @ weights["classifier.weight"].T + weights["classifier.bias"]
    assert np.abs(changed - expected).max() < 1e-5


def test_equal_texts_are_recognised_by_ids_and_types() -> None:
    texts = [
        TokenIds([1, 2], None, 0),
        TokenIds([1, 2], [0, 1], 0),
        TokenIds([1, 2], None, 3),
        TokenIds([2, 1], None, 0),
        TokenIds([1, 2], [0, 1], 0),
    ]
    found, places = deduplicate(texts, token_key)
    assert found == [texts[0], texts[1], texts[3]]
    assert places.tolist() == [0, 1, 0, 2, 1]
    assert deduplicate([])[0] == []


class CountingExecutor(Executor):
    """A real executor that records its compiled programs."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor
        self.compiled: list[Any] = []

    def compile(self, program: Any) -> Any:
        self.compiled.append(program)
        return self.executor.compile(program)


def test_repeated_single_requests_use_all_cores(models: Any) -> None:
    model = models("openvino")
    program = model.program(frozenset({LAST_HIDDEN_STATE}))
    many = CountingExecutor(model.runner.executor)
    one = CountingExecutor(model.runner.executor.for_sessions())
    runner = Runner(many, model.runner.layout, streams=2, all_cores=lambda: one)
    text = TokenIds(list(range(2, 22)), None, 0)
    results = [next(iter(runner.run(program, [text]))).outputs[LAST_HIDDEN_STATE] for _ in range(7)]
    assert (len(many.compiled), len(one.compiled)) == (1, 1)
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=0, atol=1e-6)
    list(runner.run(program, [text] * 12, token_budget=40))
    assert (len(many.compiled), len(one.compiled)) == (1, 1)

    # While another call runs, one core for each is better.
    uncounted = Runner(many, model.runner.layout, streams=2, all_cores=lambda: one)
    other = runner_in_the_middle(uncounted, program, text)
    for _ in range(7):
        list(uncounted.run(program, [text]))
    assert len(one.compiled) == 1
    other.close()
    for _ in range(7):
        list(uncounted.run(program, [text]))
    assert len(one.compiled) == 2


def runner_in_the_middle(runner: Runner, program: Any, text: TokenIds) -> Any:
    """A call that has yielded one result of several."""
    results = runner.run(program, [text] * 12, token_budget=40)
    next(results)
    return results
