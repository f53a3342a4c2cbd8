"""`Evaluation`, the result of every evaluator, and the common parts of evaluators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from munjang.errors import InputError
from munjang.evaluation.measures.resampling import Estimate, Statistic, estimates
from munjang.progress import Advance

T = TypeVar("T")
R = TypeVar("R")

_STEP = 256  # examples per call of a model between two reports of progress, or more
_STEPS = 20  # maximum number of calls, because each call may warn of truncated texts
_LISTED = 12  # labels named in a message
_SMALL = 100  # larger measures, such as perplexities, are written with fewer digits


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model is at a task.

    Attributes:
        task: the name of the task, as in ``munjang evaluate TASK``.
        data: where the examples come from; may be empty.
        count: the number of examples.
        metrics: by their names; shares such as F1 are from 0 to 1.
        notes: facts that a reader of the numbers should know.
    """

    task: str
    data: str
    count: int
    metrics: Mapping[str, Estimate]
    notes: str = ""

    @classmethod
    def of(
        cls, task: str, statistics: Mapping[str, Statistic], count: int, *, intervals: bool, notes: str = ""
    ) -> Evaluation:
        """Return the evaluation of statistics over ``count`` examples."""
        return cls(task, "", count, estimates(statistics, count, intervals=intervals), notes)

    @property
    def values(self) -> dict[str, float]:
        """The measures alone, without their intervals."""
        return {name: estimate.value for name, estimate in self.metrics.items()}

    @property
    def title(self) -> str:
        """The task, the number of examples and the data, in a few words."""
        data = f" of {self.data}" if self.data else ""
        return f"{self.task}, {quantity(self.count, 'example', 'examples')}{data}"

    def rows(self) -> list[tuple[str, str, str]]:
        """Return each measure's name, value and interval as texts; the interval may be empty."""
        return [(name, _in_words(each.value), _interval(each)) for name, each in self.metrics.items()]

    def to_markdown(self) -> str:
        """Return a table with a row per measure, and the title above it."""
        rows = [("measure", "value", "95% interval"), ("---", "---:", "---"), *self.rows()]
        columns = 3 if any(estimate.has_interval for estimate in self.metrics.values()) else 2
        table = [f"| {' | '.join(row[:columns])} |" for row in rows]
        return "\n".join([f"**{self.title}**\n", *([f"{self.notes}\n"] if self.notes else []), *table])

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON: ``None`` for an undefined measure."""
        return {
            "task": self.task,
            "data": self.data,
            "count": self.count,
            "metrics": {name: estimate.to_dict() for name, estimate in self.metrics.items()},
            "notes": self.notes,
        }


def quantity(count: int, singular: str, plural: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{count:,} {singular if count == 1 else plural}"


def listed(labels: Sequence[object]) -> str:
    """Return labels for a message, only the first of many."""
    more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    return ", ".join(repr(label) for label in labels[:_LISTED]) + more


def _in_words(value: float) -> str:
    """Return a measure with four digits after the point, or two if it is large."""
    if not math.isfinite(value):
        return "undefined"
    return f"{value:.4f}" if abs(value) < _SMALL else f"{value:,.2f}"


def _interval(estimate: Estimate) -> str:
    return f"{_in_words(estimate.low)} to {_in_words(estimate.high)}" if estimate.has_interval else ""


def in_steps(
    run: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    advance: Advance | None,
    *,
    bounded: bool = False,
) -> list[R]:
    """Run a model over items: in one call, unless progress is reported.

    ``bounded`` is for models that take much memory for each item: at most 256 items per call.
    """
    if advance is None and not bounded:
        return list(run(items))
    step = _STEP if bounded else max(_STEP, math.ceil(len(items) / _STEPS))
    results: list[R] = []
    for start in range(0, len(items), step):
        chunk = items[start : start + step]
        results.extend(run(chunk))
        if advance is not None:
            advance(len(chunk))
    return results


def require_examples(examples: Sequence[object]) -> None:
    """Raise `InputError` if there are no examples."""
    if not examples:
        raise InputError("There is nothing to measure: the data has no examples.")


def check_finite(scores: Sequence[float]) -> None:
    """Raise `InputError` if a model's scores, one for each example, hold NaN or infinity."""
    broken = [index for index, score in enumerate(scores) if not math.isfinite(score)]
    if broken:
        raise InputError(
            f"The model's score of example {broken[0]} is {scores[broken[0]]}, and {len(broken)} of "
            f"{len(scores)} scores are not finite; its weights are broken, perhaps by training that diverged."
        )
