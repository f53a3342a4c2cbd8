"""The filters of sampling equal their published definitions and the reference implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import (
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from munjang.errors import InputError
from munjang.tasks.generation.sampling import (
    Sampling,
    draw,
    forbid_repeated_ngrams,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
)

VOCABULARIES = [2, 50, 50257]


def random_scores(vocabulary: int, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(4, vocabulary)) * 3).astype(np.float32)


def theirs(processor: Any, scores: NDArray[np.float32], ids: Any = None) -> NDArray[np.float32]:
    texts = torch.zeros((len(scores), 1), dtype=torch.int64) if ids is None else torch.tensor(ids)
    found: NDArray[np.float32] = processor(texts, torch.from_numpy(scores)).numpy()
    return found


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("k", [1, 3, 40, 60000])
def test_top_k(vocabulary: int, k: int) -> None:
    scores = random_scores(vocabulary)
    np.testing.assert_array_equal(keep_top_k(scores, k), theirs(TopKLogitsWarper(k), scores))


def test_top_k_keeps_equals() -> None:
    scores = np.array([[1, 3, 2, 2, 0]], dtype=np.float32)
    np.testing.assert_array_equal(keep_top_k(scores, 2), theirs(TopKLogitsWarper(2), scores))
    assert (keep_top_k(scores, 2) > -np.inf).sum() == 3


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.8, 0.95, 0.999, 1.0])
def test_top_p(vocabulary: int, p: float) -> None:
    for seed in range(3):
        scores = random_scores(vocabulary, seed)
        np.testing.assert_array_equal(keep_top_p(scores, p), theirs(TopPLogitsWarper(p), scores))


@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=30, unique=True), st.floats(0.01, 0.99))
@settings(max_examples=200, deadline=None)
def test_top_p_is_the_smallest_set_that_holds_p(row: list[float], p: float) -> None:
    """The published definition, arXiv:1904.09751, in double precision."""
    scores = np.array([row], dtype=np.float32)
    wide = np.exp(scores[0].astype(np.float64))
    descending = np.sort(wide / wide.sum())[::-1]
    masses = np.cumsum(descending)
    kept = int((keep_top_p(scores, p)[0] > -np.inf).sum())
    assert masses[kept - 1] >= p - 1e-6
    assert kept == 1 or masses[kept - 2] < p + 1e-6


def test_the_lesson() -> None:
    """Lesson case top-k-top-p."""
    candidates = {"mat": 0.40, "roof": 0.25, "bed": 0.15, "chair": 0.10, "floor": 0.05}
    words = list(candidates)
    scores = np.log(np.array([list(candidates.values())], dtype=np.float32))
    for filtered in (keep_top_k(scores, 3), keep_top_p(scores, 0.8)):
        kept = [word for word, score in zip(words, filtered[0], strict=True) if score > -np.inf]
        assert kept == ["mat", "roof", "bed"]


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("penalty", [1.2, 5.0, 0.5])
def test_repetition_penalty(vocabulary: int, penalty: float) -> None:
    scores = random_scores(vocabulary)
    ids = np.random.default_rng(1).integers(0, vocabulary, size=(4, 12)).tolist()
    expected = theirs(RepetitionPenaltyLogitsProcessor(penalty), scores, ids)
    np.testing.assert_allclose(penalize_repetition(scores, ids, penalty), expected, rtol=1e-6)


def test_all_together_in_the_published_order() -> None:
    scores = random_scores(500)
    ids = np.random.default_rng(1).integers(0, 500, size=(4, 12)).tolist()
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(1.5),
            TemperatureLogitsWarper(0.7),
            TopKLogitsWarper(30),
            TopPLogitsWarper(0.8),
        ]
    )
    sampling = Sampling(temperature=0.7, top_k=30, top_p=0.8, repetition_penalty=1.5)
    ours, expected = sampling.scores(scores, ids), theirs(processors, scores, ids)
    np.testing.assert_array_equal(np.isinf(ours), np.isinf(expected))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_repeated_ngrams(size: int) -> None:
    scores = random_scores(7)
    ids = np.random.default_rng(size).integers(0, 7, size=(4, 12)).tolist()
    expected = theirs(NoRepeatNGramLogitsProcessor(size), scores.copy(), ids)
    np.testing.assert_array_equal(forbid_repeated_ngrams(scores, ids, size), expected)
    np.testing.assert_array_equal(Sampling(no_repeat_ngram_size=size).scores(scores, ids), expected)


@pytest.mark.parametrize("name", ["temperature", "top_p", "repetition_penalty"])
@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_numbers_beyond_floating_point_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name} must be a number, got "):
        Sampling(**{name: value})


SETTINGS: list[dict[str, Any]] = [
    {"temperature": 0.7},
    {"top_k": 5},
    {"top_p": 0.9},
    {"temperature": 1.3, "top_k": 50, "top_p": 0.95},
    {"repetition_penalty": 1.8, "temperature": 0.8, "top_p": 0.8},
    {"repetition_penalty": 0.7, "no_repeat_ngram_size": 1, "top_k": 30},
]


@pytest.mark.parametrize("chosen", SETTINGS)
def test_the_same_uniform_numbers_draw_the_same_tokens(chosen: dict[str, Any]) -> None:
    """The tokens of the reference's filtered distribution for the same random numbers."""
    scores = random_scores(500, seed=7)
    ids = np.random.default_rng(1).integers(0, 500, size=(4, 12)).tolist()
    makers: dict[str, Any] = {
        "repetition_penalty": RepetitionPenaltyLogitsProcessor,
        "no_repeat_ngram_size": NoRepeatNGramLogitsProcessor,
        "temperature": TemperatureLogitsWarper,
        "top_k": TopKLogitsWarper,
        "top_p": TopPLogitsWarper,
    }
    processors = LogitsProcessorList([make(chosen[name]) for name, make in makers.items() if name in chosen])
    probabilities = torch.softmax(torch.from_numpy(theirs(processors, scores, ids)).double(), dim=-1).numpy()
    sampling = Sampling(do_sample=True, **chosen)
    generators, again = ([np.random.default_rng(seed) for seed in range(4)] for _ in range(2))
    for _ in range(200):
        drawn = sampling.choose(scores, ids, generators)
        uniforms = [generator.random() for generator in again]
        masses = probabilities.cumsum(axis=-1)
        assert drawn == [
            int(np.searchsorted(mass, uniform, side="right"))
            for mass, uniform in zip(masses, uniforms, strict=True)
        ]


def test_draws_follow_the_probabilities() -> None:
    scores = np.log(np.array([0.5, 0.2, 1e-30, 0.3], dtype=np.float32))
    scores[2] = -np.inf
    generator = np.random.default_rng(0)
    counts = np.bincount([draw(scores, generator) for _ in range(4000)], minlength=4)
    assert counts[2] == 0
    np.testing.assert_allclose(counts / 4000, [0.5, 0.2, 0, 0.3], atol=0.03)


@pytest.mark.parametrize(
    ("given_settings", "draws"),
    [
        ({}, False),
        ({"repetition_penalty": 1.2}, False),
        ({"seed": 0}, True),
        ({"temperature": 0.9}, True),
        ({"top_k": 5}, True),
        ({"top_p": 1.0}, True),
        ({"do_sample": True}, True),
        ({"do_sample": False, "repetition_penalty": 1.2}, False),
    ],
)
def test_when_tokens_are_sampled(given_settings: dict[str, Any], draws: bool) -> None:
    assert Sampling(**given_settings).draws is draws


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "seed"])
def test_sampling_options_are_refused_without_sampling(name: str) -> None:
    settings: dict[str, Any] = {name: 0.5 if name in ("temperature", "top_p") else 3}
    with pytest.raises(InputError, match=rf"^{name}=\S+ would have no effect with do_sample=False"):
        Sampling(do_sample=False, **settings)
