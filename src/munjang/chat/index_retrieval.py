"""Retrieval of stored questions from an index: hybrid search, with optional reranking."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from munjang.chat.retrieval import HeldOut
from munjang.chat.turns import Nearest, Neighbour
from munjang.errors import InputError
from munjang.search.documents import Document, Hit
from munjang.search.index import Index
from munjang.search.lead import BACKGROUND, lead
from munjang.search.query import DEEPEST, Mode
from munjang.sentence.cross_encoder import CrossEncoder

__all__ = ["IndexedQuestions"]

_SEED = 7
_SURROUNDINGS = BACKGROUND.stop + 1
_SAME_ANSWER = 50  # hits among which questions with the held-out answer are looked for
_RERANKED_SAMPLE = 40  # a cross-encoder is slow


class IndexedQuestions:
    """Questions and answers that are two fields of an index's documents.

    Args:
        index: with both fields, the question's searched by meaning.
        question: the field of the questions.
        answer: the field of the answers.
        rerank: orders what was found anew.
        mode: ``"hybrid"``, ``"semantic"`` or ``"lexical"``.

    Raises `InputError` if the index lacks a field, or the question's is not searched by meaning.
    """

    def __init__(
        self,
        index: Index,
        *,
        question: str = "question",
        answer: str = "answer",
        rerank: CrossEncoder | None = None,
        mode: Mode = "hybrid",
    ) -> None:
        self._index, self._question, self._answer = index, question, answer
        self._rerank, self._mode = rerank, mode
        _check_fields(index, question, answer)

    def nearest(self, question: str, limit: int) -> Nearest:
        """Return the best stored questions; equal questions are merged, with all their answers."""
        depth = min(max(_SURROUNDINGS, 3 * limit), DEEPEST)
        hits = self._index.search(question, mode=self._mode, limit=depth, rerank=self._rerank)
        found = self._neighbours(hits)
        return Nearest(found[:limit], self._lead(found))

    def _neighbours(self, hits: Iterable[Hit]) -> list[Neighbour]:
        best: dict[str, Hit] = {}
        answers: dict[str, dict[str, None]] = {}
        for hit in hits:
            asked = hit.document.fields.get(self._question, "")
            answer = hit.document.fields.get(self._answer, "")
            if not asked.strip() or not answer.strip():
                continue  # nothing to answer with, or no question that it would answer
            best.setdefault(asked, hit)
            answers.setdefault(asked, {})[answer] = None
        return [
            Neighbour(asked, tuple(answers[asked]), hit.score, hit.scores.get("semantic", math.nan))
            for asked, hit in best.items()
        ]

    @property
    def _scores_alone(self) -> bool:
        return self._rerank is not None or self._mode == "lexical"

    def _lead(self, found: Sequence[Neighbour]) -> float:
        """Return how far the first stands out; one that was found by its words alone does not."""
        if not found:
            return -math.inf
        if self._scores_alone:
            return found[0].score
        similarity = found[0].similarity
        return 0.0 if math.isnan(similarity) else lead(similarity, [one.similarity for one in found])

    def held_out(self, sample: int) -> HeldOut:
        """Search for a sample of the stored questions, excluding each sampled question from its hits."""
        answerable, unanswerable = [], []
        # A similarity without others beside it is no lead, and far larger than one.
        fewest = 1 if self._scores_alone else 2
        documents = self._sample(min(sample, _RERANKED_SAMPLE) if self._rerank else sample)
        results = self._index.search_batch(
            [document.fields[self._question] for document in documents],
            mode=self._mode,
            limit=_SAME_ANSWER,
            rerank=self._rerank,
        )
        for document, hits in zip(documents, results, strict=True):
            asked, answer = document.fields[self._question], document.fields[self._answer]
            others = [one for one in self._neighbours(hits) if one.question != asked]
            if len(others) >= fewest and any(answer in one.answers for one in others):
                answerable.append(self._lead(others))
            strangers = [one for one in others if answer not in one.answers]
            if len(strangers) >= fewest:
                unanswerable.append(self._lead(strangers))
        return answerable, unanswerable

    def _sample(self, size: int) -> list[Document]:
        chosen = set(np.random.default_rng(_SEED).permutation(self._index.count())[:size].tolist())
        documents = (document for place, document in enumerate(self._index) if place in chosen)
        return [d for d in documents if d.fields.get(self._question) and d.fields.get(self._answer)]

    def close(self) -> None:
        """Close the index."""
        self._index.close()


def _check_fields(index: Index, question: str, answer: str) -> None:
    fields = index.settings.fields
    for name in (question, answer):
        if name not in fields:
            raise InputError(f"The index has no field '{name}'; it has {', '.join(fields)}.")
    if question not in index.settings.embedded:
        raise InputError(f"The index's field '{question}' is searched by word alone, not by meaning.")
