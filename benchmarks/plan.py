"""The extent of the measurements, and their folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quiet import Patience
from benchmarks.texts import Sources

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """The extent of the measurements: ``rounds`` of each, on all texts or (``quick``) on a fifth of them."""

    rounds: int
    quick: bool
    place: Path  # for files that the processes exchange
    sources: Sources
    patience: Patience
    say: Callable[[str], None]

    def count(self, texts: int) -> int:
        """Return how many of a number of texts to use."""
        return texts // 5 if self.quick else texts
