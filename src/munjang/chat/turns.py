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


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored question near to the user's question.

    Attributes:
        question: the stored question.
        answers: its answers, mostly a single answer.
        score: the sort key of the neighbours: the cosine, the score of the index or of the cross-encoder.
        similarity: the cosine of the two questions' vectors; NaN if only words were compared.
    """

    question: str
    answers: tuple[str, ...]
    score: float
    similarity: float


class Nearest(NamedTuple):
    """The result of a search: neighbours, best first, and the lead of the best neighbour.

    ``lead`` is the lead of its similarity, see `munjang.search.query.lead`; in a lexical search its score,
    and with a cross-encoder the cross-encoder's score.
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
        lead: the basis of the confidence: how far the similarity of the nearest stored question exceeds those
            of the other near questions; or the cross-encoder's score, if there is one.
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
    """The turns of a conversation, and an optional file to which they are appended as JSON Lines.

    Adding a turn raises `DataFileError` if the file can't be written.
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
