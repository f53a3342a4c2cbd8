"""Order of the runs, choice of settings, and statistics."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Quartiles", "best_setting", "quartiles", "ratios", "take_turns"]

Name = TypeVar("Name")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Quartiles:
    """The quartiles of a set of values."""

    low: float
    median: float
    high: float

    def text(self, digits: int = 2) -> str:
        """Return the median, with the quartiles in brackets."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def quartiles(values: Sequence[float]) -> Quartiles:
    """Summarise one or more values."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Quartiles(low, median, high)


def ratios(peer: Sequence[float], ours: Sequence[float]) -> Quartiles:
    """Return how many times as long the peer took, per round."""
    return quartiles([theirs / mine for theirs, mine in zip(peer, ours, strict=True)])


def take_turns(names: Sequence[Name], rounds: int, run: Callable[[Name], Value]) -> dict[Name, list[Value]]:
    """Run every peer ``rounds`` times, one after another; each round starts with the next peer."""
    found: dict[Name, list[Value]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names) if names else 0
        for name in [*names[shift:], *names[:shift]]:
            found[name].append(run(name))
    return found


def best_setting(
    count: int, run: Callable[[int], float], *, finalists: int = 2
) -> tuple[int, Mapping[int, float]]:
    """Try settings 0 to ``count - 1`` once, the ``finalists`` fastest again; return the best and all times.

    The second try guards against a moment when the machine was busy with something else.
    """
    times = {number: run(number) for number in range(count)}
    if count > 1:
        for number in sorted(times, key=times.__getitem__)[:finalists]:
            times[number] = min(times[number], run(number))
    return min(times, key=times.__getitem__), times
