"""Shared parts of the measurements: a race as a table, and a ratio as a check."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from benchmarks.race import Race
from benchmarks.report import Check, Section
from benchmarks.rounds import Quartiles, quartiles, ratios

__all__ = ["folder_of", "race_section", "ratio_check"]

RACE_COLUMNS = ("library", "setting", "seconds", "texts/s", "core-seconds", "time / munjang's")


def race_section(title: str, found: Race, ours: str) -> Section:
    """Return the table of a race: times, and their ratios to ``ours``."""
    rows = []
    for name, entrant in found.entrants.items():
        seconds = quartiles(entrant.seconds)
        rows.append(
            (
                name,
                ", ".join(f"{key} {value}" for key, value in entrant.setting.items()) or "as it is",
                seconds.text(),
                f"{found.texts / seconds.median:,.0f}",
                f"{statistics.median(t.core_seconds for t in entrant.timings):.2f}",
                ratios(entrant.seconds, found.entrants[ours].seconds).text(),
            )
        )
    data: dict[str, Any] = {
        "texts": found.texts,
        "libraries": {
            name: {
                "setting": entrant.setting,
                "tried": entrant.tried,
                "load_seconds": entrant.load_seconds,
                "seconds": entrant.seconds,
                "core_seconds": [timing.core_seconds for timing in entrant.timings],
                "disturbance": [timing.disturbance for timing in entrant.timings],
            }
            for name, entrant in found.entrants.items()
        },
        "skipped": found.skipped,
    }
    return Section(title, RACE_COLUMNS, rows, data, [f"Skipped: {why}" for why in found.skipped.values()])


def ratio_check(what: str, found: Race, ours: str, peer: str, least: float) -> Check:
    """Return a check that a peer took at least a number of times as long, per round."""
    ratio: Quartiles = ratios(found.entrants[peer].seconds, found.entrants[ours].seconds)
    return Check(what, f">= {least}", ratio.text(), ratio.median, ratio.median >= least)


def folder_of(name: str) -> Path:
    """Return the folder of a catalogue model; download it if needed."""
    from munjang.checkpoints import open_checkpoint

    return Path(open_checkpoint(name).path)
