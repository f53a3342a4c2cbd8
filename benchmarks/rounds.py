"""Turns and statistics: who runs when, which setting is best, and what the ratios are."""

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
    """A quarter of the values lie below ``low``, half below ``median``, three quarters below ``high``."""

    low: float
    median: float
    high: float

    def text(self, digits: int = 2) -> str:
        """Give the median, and the quartiles in brackets."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def quartiles(values: Sequence[float]) -> Quartiles:
    """Summarise one value or more."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Quartiles(low, median, high)


def ratios(peer: Sequence[float], ours: Sequence[float]) -> Quartiles:
    """How many times as long the peer took, round by round."""
    return quartiles([theirs / mine for theirs, mine in zip(peer, ours, strict=True)])


def take_turns(names: Sequence[Name], rounds: int, run: Callable[[Name], Value]) -> dict[Name, list[Value]]:
    """Run everybody ``rounds`` times, one after another; each round starts with the next one."""
    found: dict[Name, list[Value]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names) if names else 0
        for name in [*names[shift:], *names[:shift]]:
            found[name].append(run(name))
    return found


def best_setting(
    count: int, run: Callable[[int], float], *, finalists: int = 2
) -> tuple[int, Mapping[int, float]]:
    """Try settings 0 to ``count - 1`` once, the ``finalists`` fastest again; give the fastest and all times.

    The second try guards against a moment when the machine was busy with something else.
    """
    times = {number: run(number) for number in range(count)}
    if count > 1:
        for number in sorted(times, key=times.__getitem__)[:finalists]:
            times[number] = min(times[number], run(number))
    return min(times, key=times.__getitem__), times
