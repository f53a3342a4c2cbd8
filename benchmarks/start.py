"""Whole processes: the time to the first vector, and the peak memory of encoding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.plan import Plan
from benchmarks.quiet import Timing, busy_seconds
from benchmarks.race import PAUSE
from benchmarks.rounds import take_turns
from benchmarks.worker import ROOT, PeerError, environment

__all__ = ["memory", "start_times"]

_START: Mapping[str, str] = {
    "bare interpreter": "",
    "import munjang": "import munjang",
    "munjang": """
import sys, munjang
munjang.SentenceTransformer(sys.argv[1]).encode("How do I get to the station?")
""",
    "sentence-transformers torch": """
import sys
from sentence_transformers import SentenceTransformer
SentenceTransformer(sys.argv[1], device="cpu").encode("How do I get to the station?")
""",
}

_REPORT = """
from pathlib import Path
fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(fields["VmHWM"].split()[0]) / 1024)
"""
_READ = """
import json, sys
texts = json.load(open(sys.argv[2], encoding="utf-8"))
"""
_MEMORY: Mapping[str, str] = {
    "munjang, list": """
import munjang
vectors = munjang.SentenceTransformer(sys.argv[1]).encode(texts)
""",
    "munjang, iterator": """
import munjang
for vector in munjang.SentenceTransformer(sys.argv[1]).encode(iter(texts)):
    pass
""",
    "sentence-transformers torch": """
from sentence_transformers import SentenceTransformer
vectors = SentenceTransformer(sys.argv[1], device="cpu").encode(texts)
""",
}


def start_times(plan: Plan, folder: Path) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return the seconds of whole processes per round, and the skipped peers with the reasons.

    Every process runs once before, so that its files are in the page cache.
    """
    names, skipped = [], {}
    for name, code in _START.items():
        try:
            _process(code, folder)
            names.append(name)
        except PeerError as error:
            skipped[name] = str(error)
            plan.say(f"  skipped {name}: {error}")

    def run(name: str) -> float:
        time.sleep(PAUSE)
        timing = plan.patience.measure(lambda: _timed(_START[name], folder))
        plan.say(f"  {name}: {timing.seconds:.2f} s, others had {timing.disturbance:.0%} of the machine")
        return timing.seconds

    return take_turns(names, plan.rounds, run), skipped


def memory(
    plan: Plan, folder: Path, texts: Sequence[str], counts: Sequence[int]
) -> tuple[dict[str, dict[int, float]], dict[str, str]]:
    """Return the peak memory, in MiB, of a process that encodes the first ``count`` texts."""
    found: dict[str, dict[int, float]] = {}
    skipped = {}
    for name, code in _MEMORY.items():
        for count in counts:
            file = plan.place / f"texts-{count}.json"
            file.write_text(json.dumps(list(texts[:count])), encoding="utf-8")
            try:
                used = float(_process(_READ + code + _REPORT, folder, file).split()[-1])
            except PeerError as error:
                skipped[name] = str(error)
                plan.say(f"  skipped {name}: {error}")
                break
            plan.say(f"  {name}, {count} texts: {used:.0f} MiB")
            found.setdefault(name, {})[count] = used
    return found, skipped


def _timed(code: str, folder: Path) -> Timing:
    start, busy, mine = time.perf_counter(), busy_seconds(), os.times()
    _process(code, folder)
    seconds, done = time.perf_counter() - start, os.times()
    core_seconds = sum(done[:4]) - sum(mine[:4])  # this process's and that of the processes it waited for
    return Timing(seconds, core_seconds, busy_seconds() - busy - core_seconds)


def _process(code: str, *arguments: Path) -> str:
    """Run a program and return its output; raise `PeerError` with its last line if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=ROOT,
        env=environment(),
    )
    if done.returncode:
        raise PeerError((done.stderr.strip().splitlines() or ["it failed without a word"])[-1][:300])
    return done.stdout
