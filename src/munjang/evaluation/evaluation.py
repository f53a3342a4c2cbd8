"""`Evaluation`: what was measured, on what, and how it is written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from munjang.errors import InputError
from munjang.evaluation.measures.resampling import Estimate
from munjang.progress import Advance

__all__ = [
    "Evaluation",
    "check_finite",
    "in_steps",
    "in_words",
    "interval_in_words",
    "listed",
    "quantity",
    "require_examples",
]

T = TypeVar("T")
R = TypeVar("R")

_STEP = 256  # examples that go through the model between two reports of progress, or more
_STEPS = 20  # at most, where each may warn of texts that were cut
_LISTED = 12  # labels named in a message
_DIGITS = 6  # of a measure in a dictionary
_SMALL = 100  # above, a measure is written with fewer digits: perplexities


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model is at a task.

    Attributes:
        task: the name of the task, as in ``munjang evaluate TASK``.
        data: where the examples come from; may be empty.
        count: how many examples there were.
        metrics: by their names; parts such as F1 are from 0 to 1.
        notes: what a reader of the numbers should know.
    """

    task: str
    data: str
    count: int
    metrics: Mapping[str, Estimate]
    notes: str = ""

    @property
    def values(self) -> dict[str, float]:
        """The measures alone, without their intervals."""
        return {name: estimate.value for name, estimate in self.metrics.items()}

    @property
    def title(self) -> str:
        """What was measured, in a few words."""
        place = f" of {self.data}" if self.data else ""
        return f"{self.task}, {quantity(self.count, 'example', 'examples')}{place}"

    def to_markdown(self) -> str:
        """Write a table with a row per measure, and the title above it."""
        notes = [f"{self.notes}\n"] if self.notes else []
        return "\n".join([f"**{self.title}**\n", *notes, *self._table()])

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: ``null`` for what is not defined."""
        return {
            "task": self.task,
            "data": self.data,
            "count": self.count,
            "metrics": {name: _as_dict(estimate) for name, estimate in self.metrics.items()},
            "notes": self.notes,
        }

    def _table(self) -> list[str]:
        with_interval = any(estimate.has_interval for estimate in self.metrics.values())
        rows = [["measure", "value"], ["---", "---:"]]
        rows += [[name, in_words(estimate.value)] for name, estimate in self.metrics.items()]
        if with_interval:
            intervals = [interval_in_words(estimate) for estimate in self.metrics.values()]
            rows = [[*row, last] for row, last in zip(rows, ["95% interval", "---", *intervals], strict=True)]
        return [f"| {' | '.join(row)} |" for row in rows]


def quantity(count: int, one: str, many: str) -> str:
    """Write how many there are of something."""
    return f"{count:,} {one if count == 1 else many}"


def in_words(value: float) -> str:
    """Write a measure: four digits after the point, two for large ones."""
    if not math.isfinite(value):
        return "undefined"
    return f"{value:.4f}" if abs(value) < _SMALL else f"{value:,.2f}"


def interval_in_words(estimate: Estimate) -> str:
    """Write the bounds of a measure; nothing if there are none."""
    return f"{in_words(estimate.low)} to {in_words(estimate.high)}" if estimate.has_interval else ""


def in_steps(
    run: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    advance: Advance | None,
    *,
    bounded: bool = False,
) -> list[R]:
    """Run a model over items, all at once unless progress is reported.

    ``bounded`` is for what takes much memory for each item: never more than 256 at once.
    """
    if advance is None and not bounded:
        return list(run(items))
    step = _STEP if bounded else max(_STEP, math.ceil(len(items) / _STEPS))
    found: list[R] = []
    for start in range(0, len(items), step):
        some = items[start : start + step]
        found.extend(run(some))
        if advance is not None:
            advance(len(some))
    return found


def require_examples(examples: Sequence[object]) -> None:
    """Raise `InputError` if there is nothing to measure."""
    if not examples:
        raise InputError("There is nothing to measure: the data has no examples.")


def check_finite(scores: Sequence[float]) -> None:
    """Raise `InputError` if a model's scores, one per example, are not all numbers."""
    broken = [place for place, score in enumerate(scores) if not math.isfinite(score)]
    if broken:
        raise InputError(
            f"The model gives {scores[broken[0]]} for example {broken[0]}, and no number for {len(broken)} "
            f"of {len(scores)}; its weights are broken, perhaps by a training that diverged."
        )


def listed(labels: Sequence[object]) -> str:
    """Name labels in a message, the first of many."""
    more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    return ", ".join(repr(label) for label in labels[:_LISTED]) + more


def _as_dict(estimate: Estimate) -> dict[str, float | None]:
    bounds = (("value", estimate.value), ("low", estimate.low), ("high", estimate.high))
    return {name: round(number, _DIGITS) if math.isfinite(number) else None for name, number in bounds}
