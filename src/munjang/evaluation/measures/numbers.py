"""Measures of numbers against numbers: Pearson's and Spearman's correlation, and the mean squared error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.errors import InputError
from munjang.evaluation.measures.counts import check_paired
from munjang.evaluation.measures.resampling import Values, Weights, mean_of, point


class NumberPairs:
    """The true and the predicted number of each example; its methods are statistics.

    Raises `InputError` for sequences of unequal length or empty ones, and for numbers that are not finite.
    """

    def __init__(self, gold: ArrayLike, predicted: ArrayLike) -> None:
        self._gold = _Numbers(_read(gold, "gold"))
        self._predicted = _Numbers(_read(predicted, "predicted"))
        check_paired("gold numbers", self._gold.values, "predicted", self._predicted.values)
        self.count = len(self._gold.values)

    @property
    def notes(self) -> str:
        """Return why correlations are undefined, if all numbers of a side are equal; else an empty text."""
        sides = (("gold scores", self._gold), ("model's scores", self._predicted))
        same = [f"all of the {name} are {side.values[0]:g}" for name, side in sides if side.is_constant]
        return f"correlations are undefined: {' and '.join(same)}" if same else ""

    def pearson(self, weights: Weights) -> Values:
        """Return Pearson's correlation; NaN in a sample in which all numbers of a side are equal."""
        correlation = _correlation(weights, self._gold.centred(weights), self._predicted.centred(weights))
        varied = self._gold.varied(weights) & self._predicted.varied(weights)
        return np.where(varied, correlation, np.nan)

    def spearman(self, weights: Weights) -> Values:
        """Return Spearman's correlation: Pearson's of the ranks, where equal numbers have their mean rank."""
        return _correlation(weights, self._gold.ranks(weights), self._predicted.ranks(weights))

    def mean_squared_error(self, weights: Weights) -> Values:
        """Return the mean of the squared differences."""
        return mean_of((self._gold.values - self._predicted.values) ** 2)(weights)


class _Numbers:
    """The numbers of one side, and their order."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values
        self._shifted = _unit(values)  # correlations do not depend on the scale, but squares may overflow
        if len(values):
            self._shifted = _unit(self._shifted - self._shifted.mean())  # precision for large numbers
        self.distinct, self._index = np.unique(values, return_inverse=True)
        self._order = np.argsort(self._index, kind="stable")
        self._starts = np.searchsorted(self._index[self._order], np.arange(len(self.distinct)))

    @property
    def is_constant(self) -> bool:
        """Whether all numbers are equal."""
        return len(self.distinct) == 1

    def centred(self, weights: Weights) -> Weights:
        """Return the numbers minus each sample's mean: ``[R, n]``."""
        means = weights @ self._shifted / weights.sum(axis=1)
        centred: Weights = self._shifted - means[:, None]
        return centred

    def ranks(self, weights: Weights) -> Weights:
        """Return the ranks of the numbers in each sample, minus the mean rank: ``[R, n]``."""
        times = np.add.reduceat(
            weights[:, self._order], self._starts, axis=1
        )  # count of each distinct number
        ranks = np.cumsum(times, axis=1) - (times - 1) / 2
        ranks -= (weights.sum(axis=1, keepdims=True) + 1) / 2
        return np.take(ranks, self._index, axis=1)

    def varied(self, weights: Weights) -> NDArray[np.bool_]:
        """Return for each sample whether its numbers differ."""
        drawn = weights > 0
        least = np.min(np.where(drawn, self._shifted, np.inf), axis=1)
        return np.asarray(np.max(np.where(drawn, self._shifted, -np.inf), axis=1) > least)


def pearson(gold: ArrayLike, predicted: ArrayLike) -> float:
    """Return Pearson's correlation coefficient; NaN if a side is constant. Raises as `NumberPairs`."""
    pairs = NumberPairs(gold, predicted)
    return point(pairs.pearson, pairs.count)


def spearman(gold: ArrayLike, predicted: ArrayLike) -> float:
    """Return Spearman's rank correlation; NaN if a side is constant. Raises as `NumberPairs`."""
    pairs = NumberPairs(gold, predicted)
    return point(pairs.spearman, pairs.count)


def mean_squared_error(gold: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean of the squared differences. Raises as `NumberPairs`."""
    pairs = NumberPairs(gold, predicted)
    return point(pairs.mean_squared_error, pairs.count)


def _read(numbers: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        values = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"The {name} numbers can't be read as numbers: {numbers!r:.80}.") from None
    if values.ndim != 1:
        raise InputError(f"The {name} numbers must be one row, got an array of shape {values.shape}.")
    broken = np.flatnonzero(~np.isfinite(values))
    if len(broken):
        raise InputError(
            f"The {name} number of example {broken[0]} is {values[broken[0]]}; {len(broken)} of "
            f"{len(values)} are not finite, and nothing can be measured with them."
        )
    return values


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers scaled so that the largest is 1 or -1."""
    largest = np.abs(values).max(initial=0)
    scaled: NDArray[np.float64] = values / largest if largest > 0 else values
    return scaled


def _correlation(weights: Weights, gold: Weights, predicted: Weights) -> Values:
    """Return the correlation of centred numbers ``[R, n]``; NaN where a side does not vary."""
    weighted = weights * gold
    covariance = (weighted * predicted).sum(axis=1)
    spread = np.sqrt((weighted * gold).sum(axis=1) * (weights * predicted * predicted).sum(axis=1))
    correlation = np.full(len(weights), np.nan)
    np.divide(covariance, spread, out=correlation, where=spread > 0)
    return correlation
