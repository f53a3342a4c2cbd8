"""A measure over examples as a function of how often each is drawn, and its bootstrap interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError

__all__ = ["Estimate", "Statistic", "Values", "Weights", "estimates", "mean_of", "point"]

Weights: TypeAlias = NDArray[np.float64]  # [R, n]: how often each of n examples is in each of R samples
Values: TypeAlias = NDArray[np.float64]  # [R]: the measure of each sample
Statistic: TypeAlias = Callable[[Weights], Values]

_RESAMPLES = 2000
_SEED = 1
_CONFIDENCE = 0.95
_CELLS = 2**20  # of weights at once: 8 MiB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure over examples, and the interval that holds it with 95% confidence.

    The value is nan where the measure is not defined, and so are the bounds; they are nan too if no interval
    was asked for.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        """Whether there are bounds."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def point(statistic: Statistic, count: int) -> float:
    """Return a measure over all of ``count`` examples, each once."""
    return float(statistic(np.ones((1, count)))[0])


def estimates(
    statistics: Mapping[str, Statistic], count: int, *, intervals: bool = True
) -> dict[str, Estimate]:
    """Return several measures over ``count`` examples, with intervals unless they are declined.

    The intervals are percentiles of 2,000 bootstrap samples of the examples (Efron 1979), drawn with a fixed
    seed and the same for all measures; samples in which a measure is not defined are left out. Raises
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
    """Make the mean of a score ``[n]`` a statistic."""
    return lambda weights: weights @ scores / weights.sum(axis=1)


def _drawn(count: int) -> Iterator[Weights]:
    """Draw the bootstrap samples, some at a time."""
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
