"""How good models are at pairs and lists of sentences: Sentence-BERTs and cross-encoders."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from munjang.data.examples import RankedList, ScoredPair
from munjang.errors import InputError
from munjang.evaluation.evaluation import Evaluation, check_finite, in_steps, quantity, require_examples
from munjang.evaluation.measures.counts import check_paired
from munjang.evaluation.measures.numbers import NumberPairs
from munjang.evaluation.measures.rankings import graded_ndcg, mean_reciprocal_rank
from munjang.evaluation.measures.resampling import estimates, mean_of
from munjang.progress import Advance
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.sentence.similarity import pairwise_cos_sim
from munjang.sentence.transformer import SentenceTransformer

__all__ = ["evaluate_reranking", "evaluate_scored_pairs", "evaluate_similarity"]


def evaluate_similarity(
    model: SentenceTransformer,
    pairs: Sequence[ScoredPair],
    *,
    prompt: str | None = None,
    prompt_name: str | None = None,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure how a model's cosines go with people's scores: ``spearman`` and ``pearson``.

    The prompt, or the model's prompt of that name, stands before both sentences. ``intervals=False`` leaves
    the bootstrap out, ``advance`` is called with the number of pairs done. Raises `InputError` for data
    without pairs, and for cosines that are no numbers; and what `SentenceTransformer.encode` raises.
    """

    def cosines(some: Sequence[ScoredPair]) -> list[float]:
        texts = [one.sentence1 for one in some] + [one.sentence2 for one in some]
        vectors = model.encode(texts, prompt=prompt, prompt_name=prompt_name)
        found: list[float] = pairwise_cos_sim(vectors[: len(some)], vectors[len(some) :]).tolist()
        return found

    require_examples(pairs)
    return _correlated("similarity", pairs, in_steps(cosines, pairs, advance), intervals)


def evaluate_scored_pairs(
    model: CrossEncoder,
    pairs: Sequence[ScoredPair],
    *,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure how a cross-encoder's scores go with people's: ``spearman`` and ``pearson``.

    Raises `InputError` for a model of several labels, and otherwise as `evaluate_similarity`.
    """
    require_examples(pairs)
    _require_one_label(model)
    texts = [(one.sentence1, one.sentence2) for one in pairs]
    return _correlated("similarity", pairs, in_steps(model.predict, texts, advance), intervals)


def evaluate_reranking(
    model: CrossEncoder,
    lists: Sequence[RankedList],
    *,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure how a cross-encoder orders documents: ``MRR@10`` and ``nDCG@10`` with graded gains.

    A list in which nothing is relevant counts 0, and the notes say how many there are. ``advance`` is called
    with the number of documents scored. Raises `InputError` for data without lists, lists of unequal length,
    grades that are negative or no numbers, a model of several labels, and scores that are no numbers.
    """
    require_examples(lists)
    _require_one_label(model)
    for place, one in enumerate(lists):
        _check_list(one, place)
    pairs = [(one.query, document) for one in lists for document in one.documents]
    scores = np.array(in_steps(model.predict, pairs, advance), dtype=np.float64)
    check_finite(scores.tolist())
    ends = np.cumsum([len(one.documents) for one in lists])
    scored = [
        (found.tolist(), one.relevance) for one, found in zip(lists, np.split(scores, ends[:-1]), strict=True)
    ]
    statistics = {
        "MRR@10": mean_of(np.array([mean_reciprocal_rank(*one) for one in scored])),
        "nDCG@10": mean_of(np.array([graded_ndcg(*one) for one in scored])),
    }
    found = estimates(statistics, len(lists), intervals=intervals)
    return Evaluation("reranking", "", len(lists), found, _notes_on(lists))


def _correlated(
    task: str, pairs: Sequence[ScoredPair], scores: Sequence[float] | NDArray[np.float32], intervals: bool
) -> Evaluation:
    numbers = [float(score) for score in scores]
    check_finite(numbers)
    sides = NumberPairs([one.score for one in pairs], numbers)
    statistics = {"spearman": sides.spearman, "pearson": sides.pearson}
    found = estimates(statistics, sides.count, intervals=intervals)
    return Evaluation(task, "", sides.count, found, sides.notes)


def _require_one_label(model: CrossEncoder) -> None:
    if model.num_labels != 1:
        raise InputError(
            f"Pairs need a cross-encoder with one label, this one has {model.num_labels}; "
            "`munjang evaluate classification` measures those."
        )


def _check_list(one: RankedList, place: int) -> None:
    check_paired(f"documents in list {place}", one.documents, "grades of relevance", one.relevance)
    for grade in one.relevance:
        if not math.isfinite(grade) or grade < 0:
            raise InputError(f"List {place} has the relevance {grade}; it must be 0 or more.")


def _notes_on(lists: Sequence[RankedList]) -> str:
    vain = sum(not any(one.relevance) for one in lists)
    documents = sum(len(one.documents) for one in lists)
    more = f"; {quantity(vain, 'list has', 'lists have')} nothing relevant, which counts 0" if vain else ""
    return f"{quantity(documents, 'document', 'documents')}{more}"
