"""Search in stored vectors: latency, memory and time to open at three sizes, compared with other engines."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.plan import Plan
from benchmarks.report import Check, Section
from benchmarks.rounds import take_turns
from benchmarks.search_engines import ENGINES, LIMIT, MUNJANG, MUNJANG_GRAPH
from benchmarks.worker import ROOT, PeerError, environment

__all__ = ["index"]

SIZES = (10_000, 100_000, 1_000_000)
DIMENSION = 384
QUERIES = 1000
TURN = 3.0  # seconds
GRAPH_FROM = 100_000  # fewer rows need no graph
# Building one over a million rows takes the better part of an hour on two cores.
GRAPH_UP_TO = int(os.environ.get("BENCH_GRAPH_UP_TO", "200000"))
MOST_RATIO = 1.5  # of an exact search of 1,000,000 vectors to reading the same data once
COLUMNS = (
    "vectors", "engine", "searches/s", "p50 ms", "p99 ms", "recall@10", "open s", "memory MiB", "mapped MiB",
    "file MiB", "build s",
)  # fmt: skip


@dataclass
class Outcome:
    """The measurement of an engine at one size: seconds of each search, and of the readings beside it."""

    build: float
    open: float
    size: float
    seconds: list[float] = field(default_factory=list)
    reading: list[list[float]] = field(default_factory=list)
    found: list[list[int]] = field(default_factory=list)
    own: float = 0.0
    mapped: float = 0.0
    recall: float | None = None


def index(plan: Plan) -> Section:
    """Measure searches in synthetic clustered vectors, one query at a time."""
    section = Section("", COLUMNS, [], {})
    rows: list[Sequence[str]] = []
    data: dict[str, Any] = {}
    for size in SIZES:
        count = plan.count(size)
        outcomes = _measure(plan, count)
        rows += [_row(count, name, one) for name, one in outcomes.items()]
        data[str(count)] = {name: vars(one) | {"found": None} for name, one in outcomes.items()}
        _add_ratio(section, count, outcomes[MUNJANG], decides=size == SIZES[-1])
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    section.title = (
        f"Searching vectors of {DIMENSION} dimensions, the best {LIMIT}, one query at a time ({load})"
    )
    section.rows, section.data = rows, data
    return section


def _measure(plan: Plan, count: int) -> dict[str, Outcome]:
    vectors, queries = plan.place / "vectors.npy", plan.place / "queries.npy"
    write_clustered(vectors, queries, count)
    outcomes, servers = dict[str, Outcome](), dict[str, _Server]()
    graphs = GRAPH_FROM <= count <= GRAPH_UP_TO
    names = [name for name in ENGINES if graphs or name not in (MUNJANG_GRAPH, "FAISS HNSW")]
    for number, name in enumerate(names):
        place = plan.place / f"engine-{number}"
        try:
            outcome = outcomes[name] = _built(name, vectors, place)
            plan.say(f"  {count:,} {name}: built in {outcome.build:.1f} s")
            servers[name] = _Server(name, queries, place)
            outcome.open = servers[name].open_seconds
        except PeerError as error:
            outcomes.pop(name, None)
            plan.say(f"  skipped {name}: {error}")
    turns = take_turns(list(servers), plan.rounds, lambda name: _turn(plan, count, name, servers[name]))
    for name, server in servers.items():
        server.close()
        if None in turns[name]:
            del outcomes[name]
            continue
        _gather(outcomes[name], [turn for turn in turns[name] if turn is not None])
        if name in (MUNJANG_GRAPH, "FAISS HNSW"):
            outcomes[name].recall = _recall(outcomes[name].found, outcomes[MUNJANG].found)
    for place in plan.place.glob("engine-*"):
        shutil.rmtree(place)
    return outcomes


def write_clustered(vectors: Path, queries: Path, count: int) -> None:
    """Write unit vectors around a center for each hundred of them, and queries of the same distribution."""
    rng = np.random.default_rng(20240601)
    centers = rng.standard_normal((max(10, count // 100), DIMENSION), dtype=np.float32)

    def some(number: int) -> NDArray[np.float32]:
        rows = centers[rng.integers(len(centers), size=number)]
        rows += 0.7 * rng.standard_normal(rows.shape, dtype=np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    shape = (count, DIMENSION)
    file = np.lib.format.open_memmap(vectors, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, count, 10_000):
        file[start : start + 10_000] = some(min(10_000, count - start))
    file.flush()
    np.save(queries, some(QUERIES))


def _built(name: str, vectors: Path, place: Path) -> Outcome:
    place.mkdir()
    command = [sys.executable, "-m", "benchmarks.search_engines", "build", name, str(vectors), str(place)]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=ROOT, env=environment()
    )
    if done.returncode:
        raise PeerError((done.stderr.strip().splitlines() or ["it failed without a word"])[-1][:300])
    answer: dict[str, float] = {}
    for line in done.stdout.splitlines():
        answer |= json.loads(line)
    size = sum(file.stat().st_size for file in place.iterdir()) / 2**20
    return Outcome(answer["seconds"], 0.0, size, recall=answer.get("recall"))


class _Server:
    """An engine that has opened its file."""

    def __init__(self, name: str, queries: Path, place: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.search_engines", "serve", name, str(queries), str(place)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            cwd=ROOT,
            env=environment(),
        )
        self.open_seconds: float = self._answer()["open"]

    def search(self, seconds: float) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"its process ended with status {self._process.wait(timeout=60)}")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=60)


def _turn(plan: Plan, count: int, name: str, server: _Server) -> Mapping[str, Any] | None:
    """Run an engine for some seconds; return ``None`` if its process has died, such as for lack of memory."""
    time.sleep(0.3)  # the threads of some libraries keep spinning for 0.2 s
    try:
        answer = server.search(TURN)
    except (PeerError, BrokenPipeError) as error:
        plan.say(f"  {count:,} {name}: {error}")
        return None
    median = statistics.median(answer["seconds"]) * 1000
    plan.say(f"  {count:,} {name}: {median:.2f} ms, {len(answer['seconds'])} searches")
    return answer


def _gather(outcome: Outcome, turns: Sequence[Mapping[str, Any]]) -> None:
    for turn in turns:
        outcome.seconds += turn["seconds"]
        outcome.reading += turn["reading"]
    outcome.found = max((turn["found"] for turn in turns), key=len)
    outcome.own, outcome.mapped = turns[-1]["own"], turns[-1]["mapped"]


def _recall(found: Sequence[Sequence[int]], exact: Sequence[Sequence[int]]) -> float:
    pairs = zip(found, exact, strict=False)  # not every engine had time for all queries
    return statistics.mean(len(set(ours) & set(theirs)) / len(theirs) for ours, theirs in pairs)


def _row(count: int, name: str, one: Outcome) -> Sequence[str]:
    p50, p99 = (1000 * float(np.quantile(one.seconds, part)) for part in (0.5, 0.99))
    return (
        f"{count:,}",
        name,
        f"{1 / statistics.mean(one.seconds):,.0f}",
        f"{p50:.2f}",
        f"{p99:.2f}",
        "exact" if one.recall is None else f"{one.recall:.3f}",
        f"{one.open:.2f}",
        f"{one.own:,.0f}",
        f"{one.mapped:,.0f}",
        f"{one.size:,.0f}",
        f"{one.build:.1f}",
    )


def _add_ratio(section: Section, count: int, ours: Outcome, *, decides: bool) -> None:
    """Compare each search with the reading right after it, because the machine's speed varies.

    The reading is by one core or by all, whichever mostly is the faster. On a busy machine look at the least
    times too: only these were disturbed as little as the machine allows.
    """
    readings = min(zip(*ours.reading, strict=True), key=statistics.median)
    ratio = statistics.median(a / b for a, b in zip(ours.seconds, readings, strict=True))
    reading, least = statistics.median(readings) * 1000, min(ours.seconds) / min(readings)
    size = count * DIMENSION / 2**20
    section.notes.append(
        f"{count:,}: reading the {size:,.0f} MiB of int8 that an exact search reads takes {reading:.2f} ms; "
        f"a search takes {ratio:.2f} times that, and by the least times {least:.2f}."
    )
    if decides:
        measured, what = f"{ratio:.2f}", f"exact search of {count:,} / reading its rows once"
        section.checks.append(Check(what, f"<= {MOST_RATIO}", measured, ratio, ratio <= MOST_RATIO))
