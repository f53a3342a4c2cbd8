"""What every command of ``munjang train`` does: read examples, follow the run, and say how it ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from munjang.cli.common.output import clean, console, joined, new_table, print_json, rounded, write_line
from munjang.cli.train.options import Run, leads, say

if TYPE_CHECKING:
    from munjang.training.loop.report import TrainingResult
    from munjang.training.loop.watchers import Step, Watcher

__all__ = ["examples_of", "follow", "names_of", "numbers_of"]

T = TypeVar("T")
_INTERRUPTED = 130


def examples_of(
    run: Run,
    read: Callable[[Path], Sequence[T]],
    *,
    key: Callable[[T], Hashable] | None = None,
    read_dev: Callable[[Path], Sequence[T]] | None = None,
) -> tuple[list[T], list[T]]:
    """Read what is learned from, and what is held out; examples of one key are on one side."""
    from munjang.data.splitting import sample, split

    found = sample([one for path in run.data for one in read(path)], run.limit)
    if run.dev is not None:
        return found, list((read_dev or read)(run.dev))
    if run.dev_share is not None:
        return split(found, held_out=run.dev_share, key=key)
    return found, []


def names_of(labels: str | None) -> list[str] | None:
    """Read names that commas part."""
    return None if labels is None else [name.strip() for name in labels.split(",")]


def numbers_of(numbers: str, option: str) -> list[int]:
    """Read whole numbers that commas part."""
    from munjang.cli.common.texts import usage_error

    try:
        return [int(number) for number in numbers.split(",")]
    except ValueError:
        raise usage_error(f"'{numbers}' is no list of whole numbers such as 1,2,3.", option) from None


def follow(run: Run, name: str, train: Callable[[Sequence[Watcher]], TrainingResult]) -> None:
    """Train, show how far that has come, and say how it ended."""
    from munjang.training.loop.watchers import shown

    teller = _Teller()
    asked = run.progress if leads() else False
    try:
        with shown(asked, name) as watchers:
            result = train((teller, *watchers))
    except KeyboardInterrupt as stopped:
        say(_stopped(stopped))
        raise typer.Exit(_INTERRUPTED) from None
    if leads():
        _show(result, run.as_json, finished_before=teller.steps is None)


class _Teller:
    """Says if a run goes on that was stopped; knows whether there was one at all."""

    def __init__(self) -> None:
        self.steps: int | None = None

    def begin(self, steps: int, done: int) -> None:
        """Say where it goes on."""
        self.steps = steps
        if done:
            say(f"Going on after update {done:,} of {steps:,}.")

    def step(self, step: Step) -> None:
        """Leave it to others to show."""

    def evaluation(self, step: int, metrics: Mapping[str, float], best: bool) -> None:
        """Leave it to others to show."""


def _stopped(stopped: KeyboardInterrupt) -> str:
    why = str(stopped)
    if not why:  # asked twice, or before the first update
        return "Stopped; the same command goes on after the last checkpoint."
    return f"{why[0].upper()}{why[1:]}."


def _number(value: float) -> float | None:
    return rounded(value) if math.isfinite(value) else None


def _show(result: TrainingResult, as_json: bool, *, finished_before: bool) -> None:
    if as_json:
        print_json(
            {
                "output": str(result.folder),
                "steps": result.steps,
                "best_step": result.best_step,
                "metrics": {name: _number(value) for name, value in result.metrics.items()},
                "before": {name: _number(value) for name, value in result.before.items()},
                "seconds": rounded(result.seconds),
            }
        )
        return
    if finished_before:
        write_line(f"This run was finished before; '{result.folder}' holds what it gave.")
    if result.metrics:
        table = new_table()
        table.add_column("measure")
        if result.before:
            table.add_column("before training", justify="right")
        table.add_column("after" if result.before else "value", justify="right")
        for name, value in result.metrics.items():
            before = [f"{result.before.get(name, math.nan):.4f}"] if result.before else []
            table.add_row(clean(name), *before, f"{value:.4f}")
        console().print(table)
    write_line(
        joined(
            [
                f"{result.folder}: the model of update {result.best_step:,} of {result.steps:,}",
                f"{result.seconds:,.0f} s",
                f"how to use it: {result.folder / 'report.md'}",
            ]
        )
    )
