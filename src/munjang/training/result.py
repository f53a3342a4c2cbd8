"""How a run ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TrainingResult"]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        folder: holds the trained model, ``report.md``, the curves and ``log.jsonl``.
        steps: updates that were made.
        best_step: the update whose model was kept.
        metrics: what was measured of that model on the held-out data.
        before: the same before the first update; empty if it was not measured.
        seconds: how long the updates took.
    """

    folder: Path
    steps: int
    best_step: int
    metrics: Mapping[str, float]
    before: Mapping[str, float]
    seconds: float
