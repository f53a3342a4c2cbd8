"""Bootstrap intervals: coverage, reproducibility, and speed for all measures."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import scipy.stats

from munjang.errors import InputError
from munjang.evaluation.measures.counts import LabelPairs
from munjang.evaluation.measures.entities import CharacterTags, EntityPairs
from munjang.evaluation.measures.numbers import NumberPairs
from munjang.evaluation.measures.resampling import Estimate, estimates, mean_of


def test_intervals_of_correlations_as_theory_has_them() -> None:
    rng = np.random.default_rng(5)
    gold = rng.normal(size=600)
    pairs = NumberPairs(gold, gold + rng.normal(size=600))
    found = estimates({"pearson": pairs.pearson, "spearman": pairs.spearman}, 600)
    expected = scipy.stats.pearsonr(gold, pairs._predicted.values).confidence_interval()  # Fisher's
    assert found["pearson"].low == pytest.approx(expected.low, abs=0.015)
    assert found["pearson"].high == pytest.approx(expected.high, abs=0.015)
    assert found["spearman"].low < found["spearman"].value < found["spearman"].high


def test_interval_of_a_part_as_theory_has_it() -> None:
    scores = np.array([1.0] * 300 + [0.0] * 100)
    found = estimates({"accuracy": mean_of(scores)}, 400)["accuracy"]
    assert found.value == 0.75
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(0.75 * 0.25 / 400), rel=0.1)


def test_the_same_seed_and_no_intervals() -> None:
    scores = np.random.default_rng(0).normal(size=50)
    first = estimates({"mean": mean_of(scores)}, 50)
    again = estimates({"other": mean_of(-scores), "mean": mean_of(scores)}, 50)
    assert again["mean"] == first["mean"]
    assert again["other"].low == pytest.approx(-first["mean"].high)
    plain = estimates({"mean": mean_of(scores)}, 50, intervals=False)["mean"]
    assert plain.value == first["mean"].value
    assert not plain.has_interval
    assert first["mean"].has_interval


def test_many_examples_give_the_samples_in_parts() -> None:
    """Drawing the samples in parts, to save memory, does not change the result."""
    count = 7000
    found = estimates({"mean": mean_of(np.arange(count, dtype=np.float64))}, count)["mean"]
    error = count / math.sqrt(12 * count)
    assert found.value == pytest.approx((count - 1) / 2)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_undefined_measures_have_no_interval() -> None:
    pairs = NumberPairs([1, 2, 3], [1, 1, 1])
    found = estimates({"pearson": pairs.pearson}, 3)["pearson"]
    assert math.isnan(found.value)
    assert found != Estimate(0.0)
    assert not found.has_interval
    one = estimates({"spearman": NumberPairs([1], [2]).spearman}, 1)["spearman"]
    assert math.isnan(one.value)
    with pytest.raises(InputError, match="no examples"):
        estimates({}, 0)


def test_five_thousand_examples_are_quick() -> None:
    """Not a benchmark: a loop over samples that recomputes a measure plainly would take minutes."""
    rng = np.random.default_rng(1)
    labels = rng.integers(30, size=(2, 5000)).tolist()
    numbers = NumberPairs(rng.normal(size=5000), rng.normal(size=5000))
    spans = [[(0, 2, "PS"), (4, int(end), "LC")] for end in rng.integers(5, 8, size=10_000)]
    entities = EntityPairs(spans[:5000], spans[5000:])
    tags = CharacterTags(spans[:5000], spans[5000:])
    begun = time.process_time()
    for statistic in (
        LabelPairs(*labels).macro_f1,
        numbers.pearson,
        numbers.spearman,
        entities.micro_f1,
        tags.macro_f1,
    ):
        found = estimates({"measure": statistic}, 5000)["measure"]
        assert found.low <= found.value <= found.high
    assert time.process_time() - begun < 30
