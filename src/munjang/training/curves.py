"""A picture of a run: the loss and the measure, by update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw_curves"]

_POINTS = 400  # of the smoothed loss


def draw_curves(log: Sequence[Mapping[str, Any]], folder: Path, metric: str | None) -> bool:
    """Draw ``curves.png`` and ``curves.svg`` from a log.

    False if the log is empty or matplotlib is not installed: a run must not fail at its end for a picture.
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
        else:  # it is read beside the other loss
            scale, label = axes, "held-out loss"
        values = [line["evaluation"][metric] for line in measured]
        places = [line["step"] for line in measured]
        lines += scale.plot(places, values, color="#c2410c", marker="o", markersize=4, label=label)
    names = [line.get_label() for line in lines]
    axes.legend(lines, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)


def _smoothed(steps: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """Means over stretches of equal length."""
    size = max(1, len(steps) // _POINTS, min(20, len(steps) // 10))
    groups = [steps[i : i + size] for i in range(0, len(steps), size)]
    return (
        [(group[0]["step"] + group[-1]["step"]) / 2 for group in groups],
        [sum(line["loss"] for line in group) / len(group) for group in groups],
    )
