"""``report.md`` and the curves: what was done, what came out, and how to use it."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from munjang.checkpoints.files import replacing
from munjang.errors import CheckpointError
from munjang.training.curves import draw_curves
from munjang.training.objective import Objective
from munjang.training.options import TrainingOptions
from munjang.training.order import Order
from munjang.training.result import TrainingResult
from munjang.training.watching import read_log

__all__ = ["write_report"]

_PACKAGES = ("munjang", "torch", "numpy", "tokenizers", "openvino")


def write_report(
    folder: Path,
    objective: Objective[Any],
    options: TrainingOptions,
    result: TrainingResult,
    order: Order,
    tokens: int,
) -> None:
    """Write ``report.md``, ``curves.png`` and ``curves.svg``; `CheckpointError` if there is no room."""
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
    found = []
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):  # munjang itself, run from its source
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
