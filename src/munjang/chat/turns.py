"""Turns of a conversation: question, answer and neighbours, and their log."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from munjang.errors import DataFileError
from munjang.rounding import rounded

__all__ = ["Nearest", "Neighbour", "Turn", "TurnLog"]


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
    """What a search found: neighbours, best first, and how far the best of them stands out.

    ``lead`` is that of its similarity, see `munjang.search.lead.lead`; or the score by word, or of a
    cross-encoder, where that decides.
    """

    neighbours: list[Neighbour]
    lead: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question, its answer, and the details of the retrieval.

    Attributes:
        question: the user's question.
        searched: the searched text: the question, with an earlier question before it if it is a follow-up.
        answer: the reply; the reply for unknown questions if no stored question is near enough.
        known: whether the answer is a stored answer.
        confidence: the probability that the answer is right, as `Calibration.probability` estimates it.
        threshold: the required confidence.
        neighbours: the nearest stored questions, best first.
        at: the time in UTC, as ISO 8601.
        lead: what the confidence is estimated from: how far the nearest stored question stands out from those
            that are merely like it; or the cross-encoder's score, if there is one.
    """

    question: str
    searched: str
    answer: str
    known: bool
    confidence: float
    threshold: float
    neighbours: Sequence[Neighbour]
    at: str
    lead: float = math.nan

    @property
    def follows_up(self) -> bool:
        """Whether an earlier question was needed to understand this question."""
        return self.searched != self.question

    def as_json(self) -> dict[str, Any]:
        """Return the turn as JSON values, without infinity and NaN, which JSON lacks."""
        content = asdict(self)
        for part in (content, *content["neighbours"]):
            for name, value in part.items():
                if isinstance(value, float):
                    part[name] = rounded(value) if math.isfinite(value) else None
        return content


class TurnLog:
    """The turns of a conversation, and a file that they are added to as JSON Lines, if one is named.

    Adding raises `DataFileError` when the file can't be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.turns: list[Turn] = []

    def add(self, turn: Turn) -> None:
        """Add a turn to the log and write it to the file."""
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
