"""``report.md`` and the curves: the settings, the results and how to use the model."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from munjang.checkpoints.files import replacing
from munjang.errors import CheckpointError
from munjang.training.loop.objective import Objective
from munjang.training.loop.order import Order
from munjang.training.loop.watchers import read_log
from munjang.training.options import TrainingOptions


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a run.

    Attributes:
        folder: holds the trained model, ``report.md``, the curves and ``log.jsonl``.
        steps: the number of updates.
        best_step: the update whose model was kept.
        metrics: the metrics of that model on the held-out data.
        before: the same metrics before the first update; empty if they were not measured.
        seconds: the duration of the updates.
    """

    folder: Path
    steps: int
    best_step: int
    metrics: Mapping[str, float]
    before: Mapping[str, float]
    seconds: float


_POINTS = 400  # approximate maximum number of points of the smoothed loss


def draw_curves(log: Sequence[Mapping[str, Any]], folder: Path, metric: str | None) -> bool:
    """Write ``curves.png`` and ``curves.svg`` from a log. Return whether they were written.

    Returns false if the log is empty or matplotlib is not installed: a missing picture must not make a run
    fail at its end.
    """
    steps = [line for line in log if "loss" in line]
    if not steps:
        return False
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    numbers, losses = _smoothed(steps)
    axes.plot(
        [line["step"] for line in steps], [line["loss"] for line in steps], color="#c7d3e3", linewidth=0.7
    )
    axes.plot(numbers, losses, color="#1f4e8c", label="loss (smoothed)")
    axes.set_xlabel("update")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=min(0.0, *losses), top=1.15 * max(losses))
    _draw_measure(axes, log, metric)
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"curves.{suffix}", dpi=120)
    return True


def _draw_measure(axes: Any, log: Sequence[Mapping[str, Any]], metric: str | None) -> None:
    measured = [line for line in log if metric is not None and metric in line.get("evaluation", {})]
    lines = list(axes.get_lines()[1:])
    if measured:
        if metric != "loss":
            scale, label = axes.twinx(), metric
            scale.set_ylabel(label)
        else:  # it shares the axis of the training loss
            scale, label = axes, "held-out loss"
        values = [line["evaluation"][metric] for line in measured]
        updates = [line["step"] for line in measured]
        lines += scale.plot(updates, values, color="#c2410c", marker="o", markersize=4, label=label)
    names = [line.get_label() for line in lines]
    axes.legend(lines, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)


def _smoothed(steps: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """Return the mean step and the mean loss of consecutive groups of equal size."""
    size = max(1, len(steps) // _POINTS, min(20, len(steps) // 10))
    groups = [steps[i : i + size] for i in range(0, len(steps), size)]
    return (
        [(group[0]["step"] + group[-1]["step"]) / 2 for group in groups],
        [sum(line["loss"] for line in group) / len(group) for group in groups],
    )


_PACKAGES = ("munjang", "torch", "numpy", "tokenizers", "openvino")


def write_report(
    folder: Path,
    objective: Objective[Any],
    options: TrainingOptions,
    result: TrainingResult,
    order: Order,
    tokens: int,
) -> None:
    """Write ``report.md``, ``curves.png`` and ``curves.svg``.

    Raises `CheckpointError` if ``report.md`` can't be written.
    """
    drawn = draw_curves(read_log(folder / "log.jsonl"), folder, objective.metric)
    lines = [*_report(folder, objective, options, result, order, tokens, drawn), ""]
    try:
        with replacing(folder / "report.md") as file:
            file.write("\n".join(lines).encode())
    except OSError as error:
        raise CheckpointError(f"Can't write '{folder / 'report.md'}': {error.strerror or error}.") from error


def _report(
    folder: Path,
    objective: Objective[Any],
    options: TrainingOptions,
    result: TrainingResult,
    order: Order,
    tokens: int,
    drawn: bool,
) -> Iterator[str]:
    yield from (f"# Training: {objective.name}", "", "## Result on the held-out data", "")
    if result.metrics:
        yield from _table_of_metrics(result)
    else:
        yield "There was none."
    yield (
        f"\nThe model of update {result.best_step:,} was kept, of {result.steps:,} that were made "
        f"({order.per_epoch:,} an epoch), in {_duration(result.seconds)}: "
        f"{tokens / max(result.seconds, 1e-9):,.0f} tokens per second."
    )
    curves = "![The loss and the measure by update](curves.png)"
    yield from ("", curves if drawn else "There are no curves: they need matplotlib, which is not installed.")
    yield from ("", "## Data and model", "", "| | |", "| --- | --- |")
    yield from (f"| {name} | {value} |" for name, value in objective.describe().items())
    yield from ("", "## Settings", "", "| setting | value |", "| --- | --- |")
    yield from (f"| {name} | {value} |" for name, value in options.deciding().items())
    yield from (
        "",
        "## Versions",
        "",
        f"Python {platform.python_version()}, {platform.machine()}; {_versions()}.",
    )
    yield from ("", "## How to use it", "", "```python", objective.usage(Path(folder.name)), "```")


def _table_of_metrics(result: TrainingResult) -> Iterator[str]:
    if not result.before:
        yield from ("| measure | value |", "| --- | --- |")
        yield from (f"| {name} | {value:.4f} |" for name, value in result.metrics.items())
        return
    yield from ("| measure | before training | after | change |", "| --- | --- | --- | --- |")
    for name, value in result.metrics.items():
        before = result.before.get(name, math.nan)
        yield f"| {name} | {before:.4f} | {value:.4f} | {value - before:+.4f} |"


def _versions() -> str:
    versions = []
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):  # munjang itself, if it runs from its source
            versions.append(f"{name} {metadata.version(name)}")
    return ", ".join(versions)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
