"""What was asked and answered, turn by turn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from munjang.errors import DataFileError

__all__ = ["Neighbour", "Turn", "TurnLog"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored question near to what was asked.

    Attributes:
        question: the stored question.
        answers: its answers, most of the time one.
        score: what the neighbours are ranked by.
        similarity: what is held against the threshold: the cosine of the two questions' vectors, or the
            cross-encoder's score if there is one.
    """

    question: str
    answers: tuple[str, ...]
    score: float
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question, its answer, and how that came about.

    Attributes:
        question: what was asked.
        searched: what was searched for: the question, after an earlier one if it can't stand alone.
        answer: what to say; for a question that nothing stored comes near to, that we do not know.
        known: whether the answer is a stored one.
        similarity: of the nearest stored question.
        threshold: what it had to reach.
        neighbours: the nearest stored questions, best first.
        at: when, in UTC, as ISO 8601.
    """

    question: str
    searched: str
    answer: str
    known: bool
    similarity: float
    threshold: float
    neighbours: Sequence[Neighbour]
    at: str

    @property
    def follows_up(self) -> bool:
        """Whether an earlier question was needed to understand this one."""
        return self.searched != self.question


class TurnLog:
    """The turns of a conversation, and a file that they are added to as JSON Lines, if one is named.

    Adding raises `DataFileError` when the file can't be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.turns: list[Turn] = []

    def add(self, turn: Turn) -> None:
        """Remember a turn; it is in the file when this returns."""
        self.turns.append(turn)
        if self.path is None:
            return
        line = json.dumps(asdict(turn), ensure_ascii=False)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            reason = error.strerror or error
            raise DataFileError(f"The log '{self.path}' can't be written: {reason}.") from error
