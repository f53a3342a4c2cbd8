"""Measures as functions of how often each example is drawn, and their bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.rounding import rounded

Weights: TypeAlias = NDArray[np.float64]  # [R, n]: how often each of n examples is in each of R samples
Values: TypeAlias = NDArray[np.float64]  # [R]: the measure of each sample
Statistic: TypeAlias = Callable[[Weights], Values]

_RESAMPLES = 2000
_SEED = 1
_CONFIDENCE = 0.95
_CELLS = 2**20  # weights in memory at once: 8 MiB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure over examples, and its 95% confidence interval.

    The value and the bounds are NaN if the measure is undefined; the bounds are also NaN without an interval.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        """Whether there are bounds."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def to_dict(self) -> dict[str, float | None]:
        """Return rounded values for JSON: ``None`` for NaN."""
        bounds = {"value": self.value, "low": self.low, "high": self.high}
        return {name: rounded(bound) if math.isfinite(bound) else None for name, bound in bounds.items()}


def point(statistic: Statistic, count: int) -> float:
    """Return a measure over ``count`` examples, each drawn once."""
    return float(statistic(np.ones((1, count)))[0])


def estimates(
    statistics: Mapping[str, Statistic], count: int, *, intervals: bool = True
) -> dict[str, Estimate]:
    """Return several measures over ``count`` examples, by default with intervals.

    The intervals are percentiles of 2,000 bootstrap samples of the examples (Efron 1979), drawn with a fixed
    seed and equal for all measures; samples in which a measure is undefined are left out. Raises
    `InputError` if there are no examples.
    """
    if count < 1:
        raise InputError("There is nothing to measure: the data has no examples.")
    values = {name: point(statistic, count) for name, statistic in statistics.items()}
    if not intervals:
        return {name: Estimate(value) for name, value in values.items()}
    samples: dict[str, list[Values]] = {name: [] for name in statistics}
    for weights in _drawn(count):
        for name, statistic in statistics.items():
            samples[name].append(statistic(weights))
    return {name: _bounded(value, np.concatenate(samples[name])) for name, value in values.items()}


def mean_of(scores: Values) -> Statistic:
    """Return the mean of scores ``[n]`` as a statistic."""
    return lambda weights: weights @ scores / weights.sum(axis=1)


def _drawn(count: int) -> Iterator[Weights]:
    """Yield the bootstrap samples in blocks of bounded size."""
    rng = np.random.default_rng(_SEED)
    together = max(1, _CELLS // count)
    for start in range(0, _RESAMPLES, together):
        rows = min(together, _RESAMPLES - start)
        drawn = rng.integers(count, size=(rows, count))
        drawn += count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def _bounded(value: float, samples: Values) -> Estimate:
    defined = samples[np.isfinite(samples)]
    if not defined.size or not math.isfinite(value):
        return Estimate(value)
    low, high = np.quantile(defined, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))
