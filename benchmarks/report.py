"""Measurements as tables and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Check", "Section", "result_path", "show", "show_checks", "write"]

_NUMBERS = re.compile(r"\[\n\s*(-?\d[-+\d.eE,\s]*?)\s*\]")  # a list of numbers, in indented JSON


@dataclass(frozen=True)
class Check:
    """A number with a target: the target and the measured value."""

    what: str
    must: str
    measured: str
    value: float
    passed: bool


@dataclass
class Section:
    """A measurement: a table for people, ``data`` for programs, and its checks."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


def show(section: Section) -> None:
    """Print a section as Markdown."""
    _table(section.title, section.columns, section.rows)
    for note in section.notes:
        print(f"{note}\n")


def show_checks(checks: Sequence[Check]) -> None:
    """Print all checks as one table."""
    rows = [(c.what, c.must, c.measured, "yes" if c.passed else "NO") for c in checks]
    _table("Summary", ("what", "must reach", "measured", "reached"), rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[i]) for line in [columns, *rows]) for i in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    print("", f"### {title}", "", line(columns), rule, *map(line, rows), "", sep="\n")


def result_path(folder: Path, machine: Mapping[str, Any]) -> Path:
    """Name a result by its date and CPU: ``2025-01-31-some-cpu.json``."""
    name = re.sub(r"[^a-z0-9]+", "-", str(machine["cpu"]).partition("(")[0].lower()).strip("-")
    return folder / f"{str(machine['date'])[:10]}-{name}.json"


def write(path: Path, machine: Mapping[str, Any], sections: Mapping[str, Section]) -> None:
    """Write all measurements."""
    content = {
        "machine": machine,
        "checks": [vars(check) for section in sections.values() for check in section.checks],
        "measurements": {name: {"title": s.title, **s.data} for name, s in sections.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(_NUMBERS.sub(_on_one_line, text) + "\n", encoding="utf-8")


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + ", ".join(found[1].replace(",", " ").split()) + "]"
