"""The result of a recipe, and its page."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from munjang.evaluation import Evaluation
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher

__all__ = ["Outcome", "Place", "page"]


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of the data and of the runs, and the watchers of the runs."""

    data: Path
    runs: Path
    watchers: Sequence[Watcher] = ()

    def run(self, name: str) -> Path:
        """Return the folder of a run."""
        self.runs.mkdir(parents=True, exist_ok=True)
        return self.runs / name


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trained model and its measures on data that was not used to choose a model."""

    title: str
    goal: str
    result: TrainingResult
    evaluations: Sequence[Evaluation]
    remarks: Sequence[str] = field(default=())


def page(name: str, outcome: Outcome) -> str:
    """Return the page: the measures, then the report of the run."""
    report = (outcome.result.folder / "report.md").read_text(encoding="utf-8")
    report = report.partition("\n## How to use it")[0]  # the folder is not in the project
    report = report.replace(f"{outcome.result.folder.parent}{os.sep}", "build/results/")  # not this machine's
    report = re.sub(r"^#", "##", report.replace("curves.png", f"{name}.png"), flags=re.MULTILINE)
    parts = [
        f"# {outcome.title}",
        f"Target: {outcome.goal}. Created by `make results RESULTS={name}` on {_machine()}.",
        *(evaluation.to_markdown().strip() for evaluation in outcome.evaluations),
        *outcome.remarks,
        report.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def _machine() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"model name\s*: (.+)", text)
    return f"{len(os.sched_getaffinity(0))} cores of {found[1] if found else 'a CPU'}"
