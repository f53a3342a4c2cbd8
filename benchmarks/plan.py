"""How much to measure, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quiet import Patience
from benchmarks.texts import Sources

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """How much to measure: ``rounds`` of everything, on all texts or, if ``quick``, on a fifth of them."""

    rounds: int
    quick: bool
    place: Path  # for files that the processes exchange
    sources: Sources
    patience: Patience
    say: Callable[[str], None]

    def count(self, texts: int) -> int:
        """How many of so many texts to take."""
        return texts // 5 if self.quick else texts
