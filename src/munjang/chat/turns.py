"""What was asked and answered, turn by turn."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from munjang.errors import DataFileError

__all__ = ["BACKGROUND", "Nearest", "Neighbour", "Turn", "TurnLog", "lead"]

_DIGITS = 6  # float32 has no more to say
BACKGROUND = slice(5, 25)  # the neighbours that any question has in a collection


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored question near to what was asked.

    Attributes:
        question: the stored question.
        answers: its answers, most of the time one.
        score: what the neighbours are ranked by: the cosine, the index's score, or the cross-encoder's.
        similarity: the cosine of the two questions' vectors; NaN where only words were compared.
    """

    question: str
    answers: tuple[str, ...]
    score: float
    similarity: float


class Nearest(NamedTuple):
    """What a search found: neighbours, best first, and how sure the best of them is."""

    neighbours: list[Neighbour]
    confidence: float


def lead(similarity: float, others: Sequence[float]) -> float:
    """Give by how much a similarity exceeds the mean of those of the 6th to 25th nearest stored questions.

    The cosines of one model lie close together, and higher for some questions and languages than for others;
    what stands out from a question's own surroundings says more than the cosine alone. ``others`` are the
    similarities of all that was found, that of the best included, in any order. With fewer than six, the
    surroundings are all but the best. Never below zero for the most similar one.
    """
    ordered = sorted((one for one in others if not math.isnan(one)), reverse=True)
    background = ordered[BACKGROUND] or ordered[1:]
    return similarity - sum(background) / len(background) if background else similarity


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question, its answer, and how that came about.

    Attributes:
        question: what was asked.
        searched: what was searched for: the question, after an earlier one if it can't stand alone.
        answer: what to say; for a question that nothing stored comes near to, that we do not know.
        known: whether the answer is a stored one.
        confidence: how far the nearest stored question stands out from those that are merely like it, see
            `lead`; or the cross-encoder's score, if there is one.
        threshold: what the confidence had to reach.
        neighbours: the nearest stored questions, best first.
        at: when, in UTC, as ISO 8601.
    """

    question: str
    searched: str
    answer: str
    known: bool
    confidence: float
    threshold: float
    neighbours: Sequence[Neighbour]
    at: str

    @property
    def follows_up(self) -> bool:
        """Whether an earlier question was needed to understand this one."""
        return self.searched != self.question

    def as_json(self) -> dict[str, Any]:
        """Give the turn in what JSON can say; it has no infinity, and nothing that is no number."""
        content = asdict(self)
        for part in (content, *content["neighbours"]):
            for name, value in part.items():
                if isinstance(value, float):
                    part[name] = round(value, _DIGITS) if math.isfinite(value) else None
        return content


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
        line = json.dumps(turn.as_json(), ensure_ascii=False)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            reason = error.strerror or error
            raise DataFileError(f"The log '{self.path}' can't be written: {reason}.") from error
