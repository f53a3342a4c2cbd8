"""Several peers encode the same texts alternately, each at its best setting."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import PEAK, Setting
from benchmarks.plan import Plan
from benchmarks.quiet import Timing
from benchmarks.rounds import best_setting, take_turns
from benchmarks.worker import PeerError, Worker

__all__ = ["PAUSE", "Entrant", "Race", "race"]

# Some libraries' threads keep spinning for 0.2 s after their work; the next one must not pay for that.
PAUSE = 0.3


@dataclass
class Entrant:
    """The times of a peer: ``timings`` per round at ``setting``, and those of all settings in the heats."""

    setting: Setting
    tried: dict[str, float]
    load_seconds: float
    timings: list[Timing] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """Return the wall-clock seconds per round."""
        return [timing.seconds for timing in self.timings]


@dataclass
class Race:
    """The peers with their times and vectors, the skipped peers with the reasons, and the CPU's peak.

    ``peak`` holds, for each kernel, the operations per second of each round.
    """

    texts: int
    entrants: dict[str, Entrant]
    skipped: dict[str, str]
    vectors: dict[str, NDArray[np.float32]]
    peak: dict[str, list[float]]


def race(plan: Plan, names: Sequence[str], texts: Sequence[str], folder: Path) -> Race:
    """Run the peers on the texts; half of the texts are used to choose a peer's setting."""
    file, half = plan.place / "texts.json", plan.place / "half.json"
    file.write_text(json.dumps(list(texts)), encoding="utf-8")
    half.write_text(json.dumps(list(texts[::2])), encoding="utf-8")
    found = Race(len(texts), {}, {}, {}, {})
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name in [*names, PEAK]:
            try:
                worker = stack.enter_context(Worker(name, folder))
                found.entrants[name] = _heats(plan, worker, half)
                workers[name] = worker
            except PeerError as error:
                found.skipped[name] = str(error)
                plan.say(f"  skipped {error}")
        _run(plan, found, workers, file)
    return found


def _heats(plan: Plan, worker: Worker, file: Path) -> Entrant:
    """Warm up a peer and choose its setting."""
    settings = worker.settings
    if worker.peer == PEAK:
        return Entrant({}, {}, worker.load_seconds)
    worker.encode(file, settings[0])

    def run(number: int) -> float:
        time.sleep(PAUSE)
        return plan.patience.measure(lambda: worker.encode(file, settings[number])).seconds

    chosen, times = best_setting(len(settings), run) if len(settings) > 1 else (0, {})
    tried = {json.dumps(settings[number]): seconds for number, seconds in times.items()}
    plan.say(f"  {worker.peer}: {dict(settings[chosen]) or 'ready'}")
    return Entrant(settings[chosen], tried, worker.load_seconds)


def _run(plan: Plan, found: Race, workers: Mapping[str, Worker], file: Path) -> None:
    def turn(name: str) -> list[Timing]:
        time.sleep(PAUSE)
        if name == PEAK:
            return _peak_turn(plan, workers[PEAK], file)
        keep, setting = plan.place / f"{name}.npy", found.entrants[name].setting
        timing = plan.patience.measure(lambda: workers[name].encode(file, setting, keep))
        plan.say(f"  {name}: {timing.seconds:.2f} s, others had {timing.disturbance:.0%} of the machine")
        return [timing]

    results = take_turns(list(workers), plan.rounds, turn)
    found.entrants.pop(PEAK, None)
    for name, entrant in found.entrants.items():
        entrant.timings = [timings[0] for timings in results[name]]
        found.vectors[name] = np.load(plan.place / f"{name}.npy")
    if PEAK in workers:
        found.peak = dict(_speeds(workers[PEAK].settings, results[PEAK]))


def _peak_turn(plan: Plan, worker: Worker, file: Path) -> list[Timing]:
    """Run every kernel once."""

    def run(kernel: Setting) -> Timing:
        return plan.patience.measure(lambda: worker.encode(file, kernel))

    return [run(kernel) for kernel in worker.settings]


def _speeds(
    kernels: Sequence[Setting], results: Sequence[Sequence[Timing]]
) -> Iterator[tuple[str, list[float]]]:
    for number, kernel in enumerate(kernels):
        yield kernel["kernel"], [kernel["operations"] / timings[number].seconds for timings in results]
