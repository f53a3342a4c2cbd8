"""The disturbance of a measurement by other programs, and repetition of disturbed measurements.

On a shared machine this is the largest source of error: libraries that split each product over all cores
wait for the slowest core, so one busy core slows them by more than its share.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import cores

__all__ = ["Patience", "Timing", "busy_seconds"]

ACCEPTED = 0.05  # of the machine's time, used by other programs
TRIES = 3


@dataclass(frozen=True)
class Timing:
    """The time of a measurement: wall clock, core-seconds, and the core-seconds of other programs."""

    seconds: float
    core_seconds: float
    others: float = 0.0

    @property
    def disturbance(self) -> float:
        """The fraction of the machine that other programs used."""
        return max(0.0, self.others / (self.seconds * cores()))


class Patience:
    """Repeats disturbed measurements, for at most ``seconds`` in total."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def measure(self, run: Callable[[], Timing]) -> Timing:
        """Run up to three times, until a run is undisturbed; return the least disturbed run."""
        timing = run()
        for _ in range(TRIES - 1):
            if timing.disturbance <= ACCEPTED or self.left <= 0:
                break
            again = run()
            self.left -= again.seconds
            timing = min(timing, again, key=lambda t: t.disturbance)
        return timing


def busy_seconds() -> float:
    """Return the core-seconds that the machine has worked since its start; 0 if unknown."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
