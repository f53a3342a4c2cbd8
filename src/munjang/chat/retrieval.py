"""Retrievers find the stored questions nearest to a question, in memory or in an index."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from munjang.chat.turns import Nearest, Neighbour
from munjang.checkpoints import cache_root
from munjang.choices import Mode
from munjang.data.readers.questions import QuestionAnswer
from munjang.errors import InputError, StoreError
from munjang.progress import track
from munjang.search.documents import Document, Hit
from munjang.search.index import Index
from munjang.search.query import BACKGROUND, DEEPEST, lead
from munjang.search.stores import is_database
from munjang.search.text.analysis import analyzer_named
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.sentence.similarity import normalize_embeddings
from munjang.sentence.transformer import SentenceTransformer

HeldOut = tuple[list[float], list[float]]  # the leads of answerable and of unanswerable questions
_SEED = 7
_SURROUNDINGS = BACKGROUND.stop  # number of neighbours that a lead depends on
_SAME_ANSWER = 50  # hits among which questions with the held-out answer are looked for
_RERANKED_SAMPLE = 40  # a cross-encoder is slow
_FIELDS = ("question", "answer")
_FEWEST = 3  # minimum number of stored questions for a lead
# With fewer questions, the cosine that corresponds to the lead 0. With the default calibration, a confidence
# of 1/2 then needs a cosine of 0.95.
_NEARLY_EQUAL = 0.9


class Retriever(Protocol):
    """Finds stored questions."""

    def nearest(self, question: str, limit: int) -> Nearest:
        """Return the stored questions nearest to a question, best first."""
        ...

    def held_out(self, sample: int) -> HeldOut:
        """Return the leads of held-out stored questions when searched among the other questions.

        The first list is for questions whose answer another question has too. The second list is for all
        questions, searched without the questions of the same answer. A question is left out if there is only
        one question to compare it with.
        """
        ...

    def close(self) -> None:
        """Close open resources."""
        ...


class NearestQuestions:
    """Exact nearest-neighbour retrieval: compares a question's vector with every stored question's vector.

    Args:
        pairs: the stored questions and answers; equal questions are merged, with all their answers.
        model: the sentence model; all questions have its prompt for queries, if it has one.
        show_progress_bar: show a progress bar while the stored questions are encoded.
    """

    def __init__(
        self, pairs: Iterable[QuestionAnswer], model: SentenceTransformer, *, show_progress_bar: bool = False
    ) -> None:
        self._answers = _grouped(pairs)
        if not self._answers:
            raise InputError("A chatbot needs at least one question with its answer, got none.")
        self._questions = list(self._answers)
        self._numbers = {question: number for number, question in enumerate(self._questions)}
        self._model = model
        vectors = model.encode_query(self._questions, show_progress_bar=show_progress_bar)
        self._vectors: NDArray[np.float32] = normalize_embeddings(np.asarray(vectors))

    def nearest(self, question: str, limit: int) -> Nearest:
        """Return the stored questions nearest by cosine, best first."""
        vector = normalize_embeddings(np.asarray(self._model.encode_query([question])))[0]
        similarities = self._vectors @ vector
        order = np.argsort(-similarities, kind="stable")[:limit]
        neighbours = [self._neighbour(int(i), float(similarities[i])) for i in order]
        return Nearest(neighbours, _lead(float(similarities.max()), similarities.tolist()))

    def _neighbour(self, number: int, similarity: float) -> Neighbour:
        question = self._questions[number]
        return Neighbour(question, self._answers[question], similarity, similarity)

    def held_out(self, sample: int) -> HeldOut:
        """Return the leads of a sample of the stored questions among the others."""
        numbers = np.random.default_rng(_SEED).permutation(len(self._questions))[:sample]
        same = _same_answer(self._answers)
        answerable, unanswerable = [], []
        for number in numbers.tolist():
            similarities = self._vectors @ self._vectors[number]
            related = [self._numbers[question] for question in same[self._questions[number]]]
            others = np.delete(similarities, number).tolist()
            unrelated = np.delete(similarities, [number, *related]).tolist()
            if related and len(others) > 1:
                answerable.append(lead(max(others), others))
            if len(unrelated) > 1:
                unanswerable.append(lead(max(unrelated), unrelated))
        return answerable, unanswerable

    def close(self) -> None:
        """Do nothing; there are no open resources."""


def _lead(similarity: float, similarities: Sequence[float]) -> float:
    """Return the `lead` of the best cosine; with one or two questions, how far it exceeds near equality.

    One or two stored questions have no surroundings, and a cosine alone means little: unrelated questions
    have cosines of about 0.8 with multilingual-e5-small, 0.1 with all-MiniLM-L6-v2, rarely up to 0.92. With
    two questions and leads, 26% (e5) and 65% (MiniLM) of unrelated questions were answered.
    """
    return lead(similarity, similarities) if len(similarities) >= _FEWEST else similarity - _NEARLY_EQUAL


def _grouped(pairs: Iterable[QuestionAnswer]) -> dict[str, tuple[str, ...]]:
    """Return the distinct questions with their distinct answers, both in input order."""
    grouped: dict[str, dict[str, None]] = {}
    for question, answer in pairs:
        grouped.setdefault(question, {})[answer] = None
    return {question: tuple(answers) for question, answers in grouped.items()}


def _same_answer(answers: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """Return for each question the other questions with one of its answers."""
    asked: dict[str, set[str]] = {}
    for question, known in answers.items():
        for answer in known:
            asked.setdefault(answer, set()).add(question)
    return {
        question: set().union(*(asked[answer] for answer in known)) - {question}
        for question, known in answers.items()
    }


class IndexedQuestions:
    """Questions and answers in two fields of an index's documents.

    Args:
        index: an index with both fields; the field of the questions must be embedded.
        question: the field of the questions.
        answer: the field of the answers.
        rerank: a cross-encoder that reorders the hits.
        mode: ``"hybrid"``, ``"semantic"`` or ``"lexical"``.

    Raises `InputError` if the index lacks a field, or if the field of the questions is not embedded.
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
        depth = min(max(_SURROUNDINGS + 1, 3 * limit), DEEPEST)
        hits = self._index.search(question, mode=self._mode, limit=depth, rerank=self._rerank)
        neighbours = self._neighbours(hits)
        return Nearest(neighbours[:limit], self._lead(neighbours))

    def _neighbours(self, hits: Iterable[Hit]) -> list[Neighbour]:
        best: dict[str, Hit] = {}
        answers: dict[str, dict[str, None]] = {}
        for hit in hits:
            asked = hit.document.fields.get(self._question, "")
            answer = hit.document.fields.get(self._answer, "")
            if not asked.strip() or not answer.strip():
                continue  # the question or the answer is missing
            best.setdefault(asked, hit)
            answers.setdefault(asked, {})[answer] = None
        return [
            Neighbour(asked, tuple(answers[asked]), hit.score, hit.scores.get("semantic", math.nan))
            for asked, hit in best.items()
        ]

    @property
    def _uses_scores(self) -> bool:
        """Whether confidence is based on the score, of words or of a cross-encoder, instead of the lead."""
        return self._rerank is not None or self._mode == "lexical"

    def _lead(self, neighbours: Sequence[Neighbour], *, held_out: bool = False) -> float:
        """Return the lead of the first neighbour; 0 if it was found by its words only."""
        if not neighbours:
            return -math.inf
        if self._uses_scores:
            return neighbours[0].score
        similarity = neighbours[0].similarity
        if math.isnan(similarity):
            return 0.0
        similarities = [near.similarity for near in neighbours if not math.isnan(near.similarity)]
        if held_out:
            return lead(similarity, similarities)
        if len(similarities) < _FEWEST and self._index.settings.similarity != "cosine":
            return -math.inf  # a dot product can't be compared with near equality
        return _lead(similarity, similarities)

    def held_out(self, sample: int) -> HeldOut:
        """Search for a sample of the stored questions, excluding each sampled question from its hits."""
        answerable, unanswerable = [], []
        # The similarity of a single question is not a lead.
        fewest = 1 if self._uses_scores else 2
        documents = self._sample(min(sample, _RERANKED_SAMPLE) if self._rerank else sample)
        results = self._index.search_batch(
            [document.fields[self._question] for document in documents],
            mode=self._mode,
            limit=_SAME_ANSWER,
            rerank=self._rerank,
        )
        for document, hits in zip(documents, results, strict=True):
            asked, answer = document.fields[self._question], document.fields[self._answer]
            others = [other for other in self._neighbours(hits) if other.question != asked]
            if len(others) >= fewest and any(answer in other.answers for other in others):
                answerable.append(self._lead(others, held_out=True))
            unrelated = [other for other in others if answer not in other.answers]
            if len(unrelated) >= fewest:
                unanswerable.append(self._lead(unrelated, held_out=True))
        return answerable, unanswerable

    def _sample(self, size: int) -> list[Document]:
        chosen = set(np.random.default_rng(_SEED).permutation(self._index.count())[:size].tolist())
        documents = (document for number, document in enumerate(self._index) if number in chosen)
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
        raise InputError(f"The index's field '{question}' is not embedded; it is searched by word only.")


# Indexes of files


def is_index(location: str) -> bool:
    """Return whether a location names an index rather than a file of questions and answers."""
    return is_database(location) or Path(location).suffix == ".munjang"


def cached_index(path: str, model: SentenceTransformer) -> Path:
    """Return the path of the cached index for this file, model and analyzer."""
    vector = model.encode(["munjang"])[0]
    identity = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape"))
    identity.update(vector.round(3).tobytes() + analyzer_named(None).name.encode())
    return Path(cache_root(None)) / "chat" / f"{identity.hexdigest()[:20]}.munjang"


def index_pairs(
    pairs: Sequence[QuestionAnswer], model: SentenceTransformer, location: Path, *, show_progress_bar: bool
) -> Index:
    """Open an index of questions and answers; add new pairs, and delete pairs that are not in the list."""
    try:
        location.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"'{location.parent!s:.300}' can't be created: {error.strerror}"
        raise StoreError(f"The folder of the index {reason}.") from error
    # A question is compared with questions, so both have the prompt for queries.
    prompts = {"document": model.prompts["query"]} if "query" in model.prompts else None
    index = Index.open(location, model=model, fields=_FIELDS, embedded=_FIELDS[:1], prompts=prompts)
    documents = [
        Document(id=_id(question, answer), fields={"question": question, "answer": answer})
        for question, answers in _grouped(pairs).items()
        for answer in answers
    ]
    ids = {document.id for document in documents}
    removed = [document.id for document in index if document.id not in ids]
    if removed:
        index.delete(removed)
    new = index.changed(documents)
    with track(show_progress_bar and bool(new), len(new), "Encoding") as advance:
        index.upsert(new, advance=advance)
    return index


def _id(question: str, answer: str) -> str:
    """Return an id computed from a pair's content, so that unchanged pairs keep their id."""
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:24]
