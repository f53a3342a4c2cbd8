"""`ChatBot`: answers a question with the answer of the nearest stored question."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from munjang.chat.calibration import Calibration, calibrate
from munjang.chat.follow_ups import has_hangul, joined, needs_context, points_back
from munjang.chat.opening import Method, open_file, open_index
from munjang.chat.retrieval import Retriever
from munjang.chat.turns import Nearest, Neighbour, Turn, TurnLog
from munjang.errors import InputError, InputTypeError
from munjang.search.index import Index
from munjang.search.query import Mode
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.sentence.transformer import SentenceTransformer
from munjang.validation import checked_count, checked_number

__all__ = ["ChatBot"]

_SAMPLE = 300  # held-out questions
_KOREAN_UNKNOWN = "잘 모르겠어요."
_ENGLISH_UNKNOWN = "I do not know."


def _checked_threshold(value: object) -> float:
    """Return a checked threshold, a probability; raise `InputTypeError` or `InputError` otherwise."""
    return checked_number("threshold", value, least=0, most=1)


class ChatBot:
    """A chatbot that answers from stored questions, or with ``unknown`` when no question is near enough.

    Example::

        bot = munjang.ChatBot.from_file("examples/everyday_questions.csv")
        bot("소포가 어디쯤 왔는지 알고 싶어요")  # the answer, a str
        bot.ask("그럼 언제 도착해?").neighbours  # how it came about

    Args:
        retriever: where the stored questions are found; `from_file` and `from_index` make one.
        threshold: the least confidence that is good for an answer, a probability from 0 to 1 (see `Turn`);
            None learns it from held-out questions when first needed, see `calibration`; 0 answers always.
        neighbours: how many stored questions a turn shows.
        unknown: reply when no stored question is near enough; None uses a text in the question's language.
        seed: makes the choice among several answers of one question repeatable.
        log: a file that each turn is added to, as JSON Lines.
    """

    def __init__(
        self,
        retriever: Retriever,
        *,
        threshold: float | None = None,
        neighbours: int = 5,
        unknown: str | None = None,
        seed: int | None = None,
        log: str | os.PathLike[str] | None = None,
    ) -> None:
        self._retriever = retriever
        self._threshold = None if threshold is None else _checked_threshold(threshold)
        self.neighbours = checked_count("neighbours", neighbours, 1)
        self._unknown = unknown
        self._chance = random.Random(seed)  # noqa: S311 - which of several answers is no secret
        self._log = TurnLog(None if log is None else Path(log))
        self._said: set[str] = set()

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        question: str | None = None,
        answer: str | None = None,
        method: Method = "hybrid",
        model: str | SentenceTransformer | None = None,
        pooling: str | None = None,
        index: str | os.PathLike[str] | None = None,
        rerank: CrossEncoder | None = None,
        threshold: float | None = None,
        neighbours: int = 5,
        unknown: str | None = None,
        seed: int | None = None,
        log: str | os.PathLike[str] | None = None,
        offline: bool | None = None,
        show_progress_bar: bool = False,
    ) -> ChatBot:
        """Read questions and answers from CSV, TSV, JSON Lines or parquet.

        Args:
            path: the file.
            question: the column of the questions; by default one of the usual names (question, Q, 질문).
            answer: the column of the answers (answer, A, 답변).
            method: ``"nearest"`` compares vectors, held in memory; ``"hybrid"`` searches an index by meaning
                and by word.
            model: the sentence model; by default multilingual-e5-small.
            pooling: instead of the model's own, such as ``"cls"``.
            index: the file of the index, for ``"hybrid"``; by default one in the cache. It is brought up to
                date: only questions that are new or changed are encoded.
            rerank: a cross-encoder that orders what was found anew, for ``"hybrid"``.
            threshold: see the class, as for the others.
            neighbours: see the class.
            unknown: see the class.
            seed: see the class.
            log: see the class.
            offline: fetch nothing.
            show_progress_bar: draw a bar while questions are encoded.

        Raises `DataFileError` for the file, what opening a model raises, and `InputError` for settings that
        contradict each other.
        """
        if threshold is not None:
            _checked_threshold(threshold)  # before questions are encoded
        checked_count("neighbours", neighbours, 1)
        retriever = open_file(
            os.fspath(path),
            question,
            answer,
            method=method,
            model=model,
            pooling=pooling,
            index=index,
            rerank=rerank,
            offline=offline,
            shown=show_progress_bar,
        )
        return cls(retriever, threshold=threshold, neighbours=neighbours, unknown=unknown, seed=seed, log=log)

    @classmethod
    def from_index(
        cls,
        index: Index | str | os.PathLike[str],
        *,
        question: str = "question",
        answer: str = "answer",
        mode: Mode = "hybrid",
        rerank: CrossEncoder | None = None,
        threshold: float | None = None,
        neighbours: int = 5,
        unknown: str | None = None,
        seed: int | None = None,
        log: str | os.PathLike[str] | None = None,
        offline: bool | None = None,
    ) -> ChatBot:
        """Answer from an index whose documents have a field of questions and one of answers.

        Raises `InputError` if the index lacks one of them, and what opening an index raises.
        """
        retriever = open_index(index, question, answer, mode, rerank, offline)
        return cls(retriever, threshold=threshold, neighbours=neighbours, unknown=unknown, seed=seed, log=log)

    def __call__(self, question: str) -> str:
        """Return the answer to a question; raise the errors of `ask`."""
        return self.ask(question).answer

    def ask(self, question: str) -> Turn:
        """Return the answer to a question with its neighbours, confidence and threshold.

        Raises `InputTypeError` for a question that is not a string, `InputError` for a blank question.
        """
        if not isinstance(question, str):
            raise InputTypeError(f"A question must be a str, got a {type(question).__name__}.")
        asked = question.strip()
        if not asked:
            raise InputError("The question is empty.")
        searched, found = self._search(asked)
        confidence = self._confidence(found)
        known = bool(found.neighbours) and confidence >= self.threshold
        turn = Turn(
            question=asked,
            searched=searched,
            answer=self._choose(found.neighbours[0]) if known else self._unknown_reply(asked),
            known=known,
            confidence=confidence,
            threshold=self.threshold,
            neighbours=found.neighbours,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            lead=found.lead,
        )
        self._log.add(turn)
        return turn

    def nearest(self, question: str, limit: int | None = None) -> list[Neighbour]:
        """Return the stored questions nearest to a question, without answering it."""
        limit = self.neighbours if limit is None else checked_count("limit", limit, 1)
        return self._retriever.nearest(question, limit).neighbours

    @property
    def threshold(self) -> float:
        """The minimum confidence of an answer, a probability."""
        return self.calibration.threshold if self._threshold is None else self._threshold

    @cached_property
    def calibration(self) -> Calibration:
        """Probabilities and a threshold, learned from held-out questions at first use."""
        return calibrate(*self._retriever.held_out(_SAMPLE))

    @property
    def log(self) -> list[Turn]:
        """The turns so far."""
        return self._log.turns

    def reset(self) -> None:
        """Clear the conversation; the log file is unchanged."""
        self._log.turns.clear()
        self._said.clear()

    def close(self) -> None:
        """Close the index, if any."""
        self._retriever.close()

    def __enter__(self) -> ChatBot:
        """Use the chatbot as a context manager."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _search(self, asked: str) -> tuple[str, Nearest]:
        """Return the searched text and its neighbours; a follow-up is joined to the previous question."""
        found = self._retriever.nearest(asked, self.neighbours)
        last = self.log[-1] if self.log else None
        if last is None or not needs_context(asked):
            return asked, found
        if self._confidence(found) >= self.threshold and not points_back(asked):
            return asked, found
        both = joined(last.searched, asked)
        others = self._retriever.nearest(both, self.neighbours + 1)
        if last.known and others.neighbours and others.neighbours[0].question == last.neighbours[0].question:
            # The question answered before is always near to itself with a few words more.
            others = others._replace(neighbours=others.neighbours[1:] or others.neighbours)
        return both, others._replace(neighbours=others.neighbours[: self.neighbours])

    def _confidence(self, found: Nearest) -> float:
        return self.calibration.probability(found.lead) if found.neighbours else 0.0

    def _choose(self, neighbour: Neighbour) -> str:
        """Return one of several answers at random, preferably an answer not yet used."""
        fresh = [answer for answer in neighbour.answers if answer not in self._said]
        answer = self._chance.choice(fresh or list(neighbour.answers))
        self._said.add(answer)
        return answer

    def _unknown_reply(self, asked: str) -> str:
        if self._unknown is not None:
            return self._unknown
        return _KOREAN_UNKNOWN if has_hangul(asked) else _ENGLISH_UNKNOWN
