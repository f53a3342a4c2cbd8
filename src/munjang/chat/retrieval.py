"""Retrievers, which find the stored questions nearest to a new question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from munjang.chat.turns import Nearest, Neighbour
from munjang.data.readers.question_answers import QuestionAnswer
from munjang.errors import InputError
from munjang.search.lead import BACKGROUND, lead
from munjang.sentence.similarity import normalize_embeddings
from munjang.sentence.transformer import SentenceTransformer

__all__ = ["HeldOut", "NearestQuestions", "Retriever", "grouped"]

HeldOut = tuple[list[float], list[float]]  # the leads of answerable and of unanswerable questions
_SEED = 7
_SURROUNDINGS = BACKGROUND.stop


class Retriever(Protocol):
    """Finds stored questions."""

    def nearest(self, question: str, limit: int) -> Nearest:
        """Return the stored questions nearest to a question, best first."""
        ...

    def held_out(self, sample: int) -> HeldOut:
        """Return the leads of held-out stored questions when searched among the other questions.

        First those whose answer another question has too; then all, with every question of the same answer
        taken out. Where a single question is left, nothing stands out, and the question is not counted.
        """
        ...

    def close(self) -> None:
        """Close open resources."""
        ...


class NearestQuestions:
    """Exact nearest-neighbour retrieval: compares a question's vector with every stored question's vector.

    Args:
        pairs: the stored questions and answers; equal questions are one with several answers.
        model: what makes the vectors; all of them with the prompt for queries, if it has one.
        show_progress_bar: draw a bar while the stored questions are encoded.
    """

    def __init__(
        self, pairs: Iterable[QuestionAnswer], model: SentenceTransformer, *, show_progress_bar: bool = False
    ) -> None:
        self._answers = grouped(pairs)
        if not self._answers:
            raise InputError("A chatbot needs at least one question with its answer, got none.")
        self._questions = list(self._answers)
        self._places = {question: place for place, question in enumerate(self._questions)}
        self._model = model
        vectors = model.encode_query(self._questions, show_progress_bar=show_progress_bar)
        self._vectors: NDArray[np.float32] = normalize_embeddings(np.asarray(vectors))

    def nearest(self, question: str, limit: int) -> Nearest:
        """Return the stored questions nearest by cosine, best first."""
        vector = normalize_embeddings(np.asarray(self._model.encode_query([question])))[0]
        similarities = self._vectors @ vector
        order = np.argsort(-similarities, kind="stable")[:limit]
        neighbours = [self._neighbour(int(i), float(similarities[i])) for i in order]
        return Nearest(neighbours, _lead(similarities))

    def _neighbour(self, place: int, similarity: float) -> Neighbour:
        question = self._questions[place]
        return Neighbour(question, self._answers[question], similarity, similarity)

    def held_out(self, sample: int) -> HeldOut:
        """Return the leads of a sample of the stored questions among the others."""
        places = np.random.default_rng(_SEED).permutation(len(self._questions))[:sample]
        same = _sharing(self._answers)
        answerable, unanswerable = [], []
        for place in places:
            similarities = self._vectors @ self._vectors[place]
            similarities[place] = -np.inf
            kin = same[self._questions[place]]
            if kin and _count(similarities) > 1:
                answerable.append(_lead(similarities))
            similarities[[self._places[question] for question in kin]] = -np.inf
            if _count(similarities) > 1:
                unanswerable.append(_lead(similarities))
        return answerable, unanswerable

    def close(self) -> None:
        """Do nothing; there are no open resources."""


def _count(similarities: NDArray[np.float32]) -> int:
    return int(np.count_nonzero(np.isfinite(similarities)))


def _lead(similarities: NDArray[np.float32]) -> float:
    known = similarities[np.isfinite(similarities)]
    some = np.partition(known, -_SURROUNDINGS)[-_SURROUNDINGS:] if len(known) > _SURROUNDINGS else known
    return lead(float(some.max()), some.tolist())


def grouped(pairs: Iterable[QuestionAnswer]) -> dict[str, tuple[str, ...]]:
    """Return the distinct questions with their distinct answers, both in input order."""
    found: dict[str, dict[str, None]] = {}
    for question, answer in pairs:
        found.setdefault(question, {})[answer] = None
    return {question: tuple(answers) for question, answers in found.items()}


def _sharing(answers: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """Return for each question the other questions that have one of its answers."""
    asked: dict[str, set[str]] = {}
    for question, known in answers.items():
        for answer in known:
            asked.setdefault(answer, set()).add(question)
    return {
        question: set().union(*(asked[answer] for answer in known)) - {question}
        for question, known in answers.items()
    }
