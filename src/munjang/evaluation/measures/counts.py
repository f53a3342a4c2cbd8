"""Precision, recall and F1 from counts, and measures of labels.

Accuracy, macro F1 and Matthews' correlation have the definitions of scikit-learn's `accuracy_score`,
`f1_score` and `matthews_corrcoef`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Sequence, Sized
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.evaluation.measures.resampling import Statistic, Values, Weights, mean_of, point

Counts: TypeAlias = NDArray[np.float64]


class Sums(NamedTuple):
    """For each sample and each name ``[R, K]``: the number of hits, of predictions, and of true items."""

    hits: Counts
    predicted: Counts
    gold: Counts

    def of(self, columns: Sequence[int]) -> Sums:
        """Return the counts of some names."""
        return Sums(*(counts[:, columns] for counts in self))

    def total(self) -> Sums:
        """Return the sum over all names, as one name."""
        return Sums(*(counts.sum(axis=1, keepdims=True) for counts in self))


class Counted(ABC):
    """Examples with true and predicted items that have names; its methods are statistics."""

    names: Sequence[Hashable]

    @abstractmethod
    def sums(self, weights: Weights) -> Sums:
        """Return the counts of each sample."""

    def precision(self, weights: Weights) -> Values:
        """Return the share of the predictions that is right; 0 without predictions."""
        total = self.sums(weights).total()
        return _divided(total.hits, total.predicted, 0)[:, 0]

    def recall(self, weights: Weights) -> Values:
        """Return the share of the true items that was predicted; 0 without true items."""
        total = self.sums(weights).total()
        return _divided(total.hits, total.gold, 0)[:, 0]

    def micro_f1(self, weights: Weights) -> Values:
        """Return the F1 of all names together; 0 without items."""
        return _f1(self.sums(weights).total(), 0)[:, 0]

    def macro_f1(self, weights: Weights) -> Values:
        """Return the mean of the names' F1, over names with a true or predicted item in the sample."""
        scores = _f1(self.sums(weights), np.nan)
        defined = np.isfinite(scores)
        return _divided(np.where(defined, scores, 0).sum(axis=1), defined.sum(axis=1), np.nan)

    def f1_of(self, name: Hashable) -> Statistic:
        """Return the F1 of one name as a statistic; it is NaN in a sample without the name."""
        column = list(self.names).index(name)
        return lambda weights: _f1(self.sums(weights).of([column]), np.nan)[:, 0]


class LabelPairs(Counted):
    """The true and the predicted label of each example.

    F1 leaves out the ``ignored`` labels, such as ``no_relation``. Raises `InputError` for
    sequences of unequal length, or empty ones.
    """

    def __init__(
        self,
        gold: Sequence[Hashable],
        predicted: Sequence[Hashable],
        *,
        ignored: Collection[Hashable] = (),
    ) -> None:
        check_paired("gold labels", gold, "predicted", predicted)
        columns = {label: column for column, label in enumerate(dict.fromkeys([*gold, *predicted]))}
        self._gold = np.array([columns[label] for label in gold])
        self._predicted = np.array([columns[label] for label in predicted])
        self._right = self._gold == self._predicted
        self._count = len(columns)
        self._kept = [column for label, column in columns.items() if label not in ignored]
        self.names = [label for label in columns if label not in ignored]

    def sums(self, weights: Weights) -> Sums:
        """Return the counts of each label that is not ignored."""
        return self._all(weights).of(self._kept)

    def accuracy(self, weights: Weights) -> Values:
        """Return the share of the examples whose label is right."""
        return mean_of(self._right.astype(np.float64))(weights)

    def matthews(self, weights: Weights) -> Values:
        """Return Matthews' correlation for several classes (Gorodkin 2004); 0 if a side has one label."""
        hits, predicted, gold = self._all(weights)
        count = gold.sum(axis=1)
        covariance = hits.sum(axis=1) * count - (predicted * gold).sum(axis=1)
        spread = (count**2 - (predicted**2).sum(axis=1)) * (count**2 - (gold**2).sum(axis=1))
        return _divided(covariance, np.sqrt(spread), 0)

    def _all(self, weights: Weights) -> Sums:
        return Sums(
            self._by_label(weights * self._right, self._gold),
            self._by_label(weights, self._predicted),
            self._by_label(weights, self._gold),
        )

    def _by_label(self, weights: Weights, labels: NDArray[np.intp]) -> Counts:
        """Sum weights ``[R, n] -> [R, K]`` by the label of their example."""
        sums = np.zeros((len(weights), self._count))
        order = np.argsort(labels, kind="stable")
        present, starts = np.unique(labels[order], return_index=True)
        sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
        return sums


def accuracy(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """Return the share of the predictions that are equal to the gold label. Raises as `LabelPairs`."""
    return point(LabelPairs(gold, predicted).accuracy, len(gold))


def macro_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """Return the mean F1 of the labels that occur on either side. Raises as `LabelPairs`."""
    return point(LabelPairs(gold, predicted).macro_f1, len(gold))


def micro_f1(
    gold: Sequence[Hashable], predicted: Sequence[Hashable], *, ignored: Collection[Hashable] = ()
) -> float:
    """Return the F1 of all labels but the ignored labels; KLUE-RE ignores ``no_relation`` (arXiv:2105.09680).

    Without ignored labels it is the accuracy. Raises as `LabelPairs`.
    """
    return point(LabelPairs(gold, predicted, ignored=ignored).micro_f1, len(gold))


def matthews(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """Return Matthews' correlation coefficient, from -1 to 1. Raises as `LabelPairs`."""
    return point(LabelPairs(gold, predicted).matthews, len(gold))


def check_paired(first_name: str, first: Sized, second_name: str, second: Sized) -> None:
    """Raise `InputError` unless two sequences are equally long and not empty."""
    if len(first) != len(second):
        raise InputError(
            f"There are {len(first)} {first_name}, but {len(second)} {second_name}; give as many of each."
        )
    if not len(first):
        raise InputError(f"There are no {first_name} to measure; give at least one example.")


def _f1(sums: Sums, without: float) -> Counts:
    return _divided(2 * sums.hits, sums.predicted + sums.gold, without)


def _divided(dividend: Counts, divisor: NDArray[np.generic], without: float) -> Counts:
    """Return the quotient, or ``without`` where the divisor is 0."""
    quotient = np.full(dividend.shape, float(without))
    np.divide(dividend, divisor, out=quotient, where=divisor != 0)
    return quotient
