"""Measure this package and its peers: ``python -m benchmarks [--only NAME] [--rounds N] [--quick]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.measure import MEASUREMENTS
from benchmarks.plan import Plan
from benchmarks.quiet import Patience
from benchmarks.report import Section, result_path, show, show_checks, write
from benchmarks.texts import find_data

RESULTS = Path(__file__).resolve().parent / "results"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(MEASUREMENTS), help="measure only this")
    parser.add_argument("--rounds", type=int, default=5, help="how often everybody has a turn (default 5)")
    parser.add_argument("--quick", action="store_true", help="a fifth of the texts, to see that it works")
    parser.add_argument(
        "--patience", type=float, default=120, help="seconds for repeating what was disturbed (default 120)"
    )
    parser.add_argument("--output", type=Path, help="where to write the JSON (default benchmarks/results)")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run the measurements one after another, print each, and write all of them."""
    options = _options()
    machine = describe()
    _say(f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']}")
    sections: dict[str, Section] = {}
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        plan = Plan(options.rounds, options.quick, Path(place), find_data(), Patience(options.patience), _say)
        for name in options.only or MEASUREMENTS:
            _say(f"{name} ...")
            sections[name] = MEASUREMENTS[name](plan)
            show(sections[name])
    show_checks([check for section in sections.values() for check in section.checks])
    path = options.output or result_path(RESULTS, machine)
    write(path, {**machine, "seconds": round(time.perf_counter() - begun)}, sections)
    print(f"Written to {path}")


if __name__ == "__main__":
    main()
