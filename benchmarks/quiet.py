"""How much a measurement was disturbed by other programs, and measuring again if it was too much.

On a shared machine this matters more than anything else: libraries that split each product over all cores
wait for the slowest core, so one busy core slows them by more than its share.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import cores

__all__ = ["Patience", "Timing", "busy_seconds"]

ACCEPTED = 0.05  # of the machine's time, in the hands of others
TRIES = 3


@dataclass(frozen=True)
class Timing:
    """How long something took: by the clock, in core-seconds, and the core-seconds of others meanwhile."""

    seconds: float
    core_seconds: float
    others: float = 0.0

    @property
    def disturbance(self) -> float:
        """The part of the machine that others had."""
        return max(0.0, self.others / (self.seconds * cores()))


class Patience:
    """Repeats disturbed measurements, for ``seconds`` in all."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def measure(self, run: Callable[[], Timing]) -> Timing:
        """Run up to three times, until one run was undisturbed; give the least disturbed."""
        timing = run()
        for _ in range(TRIES - 1):
            if timing.disturbance <= ACCEPTED or self.left <= 0:
                break
            again = run()
            self.left -= again.seconds
            timing = min(timing, again, key=lambda t: t.disturbance)
        return timing


def busy_seconds() -> float:
    """Core-seconds that the whole machine has worked since it started; 0 where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
