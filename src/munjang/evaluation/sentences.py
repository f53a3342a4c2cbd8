"""Evaluation of Sentence-BERTs and cross-encoders on pairs and lists of texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from munjang.data.examples import LabelledText, RankedList, ScoredPair
from munjang.errors import InputError
from munjang.evaluation.evaluation import Evaluation, check_finite, in_steps, quantity, require_examples
from munjang.evaluation.measures.counts import check_paired
from munjang.evaluation.measures.numbers import NumberPairs
from munjang.evaluation.measures.rankings import TruePairs, graded_ndcg, mean_reciprocal_rank
from munjang.evaluation.measures.resampling import mean_of
from munjang.progress import Advance

if TYPE_CHECKING:
    from munjang.sentence.cross_encoder import CrossEncoder
    from munjang.sentence.transformer import SentenceTransformer


def evaluate_similarity(
    model: SentenceTransformer,
    pairs: Sequence[ScoredPair],
    *,
    prompt: str | None = None,
    prompt_name: str | None = None,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure how a model's cosines correlate with human scores: ``spearman`` and ``pearson``.

    The prompt, or the model's prompt of that name, stands before both sentences. ``intervals=False`` omits
    the bootstrap; ``advance`` is called with the number of pairs done. Raises `InputError` for data
    without pairs, and for cosines that are NaN; and whatever `SentenceTransformer.encode` raises.
    """
    from munjang.sentence.similarity import pairwise_cos_sim

    def cosines(chunk: Sequence[ScoredPair]) -> list[float]:
        texts = [pair.sentence1 for pair in chunk] + [pair.sentence2 for pair in chunk]
        vectors = model.encode(texts, prompt=prompt, prompt_name=prompt_name)
        similarities: list[float] = pairwise_cos_sim(vectors[: len(chunk)], vectors[len(chunk) :]).tolist()
        return similarities

    require_examples(pairs)
    return _correlated(pairs, in_steps(cosines, pairs, advance), intervals)


def evaluate_scored_pairs(
    model: CrossEncoder,
    pairs: Sequence[ScoredPair],
    *,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure how a cross-encoder's scores correlate with human scores: ``spearman`` and ``pearson``.

    Raises `InputError` for a model of several labels, and otherwise as `evaluate_similarity`.
    """
    require_examples(pairs)
    _require_one_label(model)
    texts = [(pair.sentence1, pair.sentence2) for pair in pairs]
    return _correlated(pairs, _scores(model, texts, advance), intervals)


def evaluate_reranking(
    model: CrossEncoder,
    lists: Sequence[RankedList],
    *,
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure how a cross-encoder orders documents: ``MRR@10`` and ``nDCG@10`` with graded gains.

    A list without a relevant document counts 0, and the notes have their number. ``advance`` is called
    with the number of documents scored. Raises `InputError` for data without lists, lists of unequal length,
    grades that are negative or not finite, a model of several labels, and scores that are NaN.
    """
    require_examples(lists)
    _require_one_label(model)
    for index, ranked in enumerate(lists):
        check_paired(f"documents in list {index}", ranked.documents, "grades of relevance", ranked.relevance)
        for grade in ranked.relevance:
            if not math.isfinite(grade) or grade < 0:
                raise InputError(f"List {index} has the relevance {grade}; it must be 0 or more.")
    texts = [(ranked.query, document) for ranked in lists for document in ranked.documents]
    scores = iter(_scores(model, texts, advance))
    rankings = [([next(scores) for _ in ranked.documents], ranked.relevance) for ranked in lists]
    statistics = {
        "MRR@10": mean_of(np.array([mean_reciprocal_rank(*ranking) for ranking in rankings])),
        "nDCG@10": mean_of(np.array([graded_ndcg(*ranking) for ranking in rankings])),
    }
    notes = quantity(len(texts), "document", "documents")
    empty = sum(not any(ranked.relevance) for ranked in lists)
    if empty:
        notes += f"; {quantity(empty, 'list has', 'lists have')} nothing relevant, which counts 0"
    return Evaluation.of("reranking", statistics, len(lists), intervals=intervals, notes=notes)


def evaluate_true_pairs(
    model: CrossEncoder,
    examples: Sequence[LabelledText],
    *,
    positive: str = "1",
    intervals: bool = True,
    advance: Advance | None = None,
) -> Evaluation:
    """Measure a cross-encoder of one label on pairs with two labels: ``average_precision`` and ``accuracy``.

    ``positive`` is the label of texts that belong together; a score above 0.5 predicts it. Otherwise the
    arguments are those of `evaluate_similarity`. Raises `InputError` for data without pairs or without the
    label, a model of several labels, and scores that are NaN.
    """
    require_examples(examples)
    _require_one_label(model)
    truth = [is_label(each.label, positive) for each in examples]
    if not any(truth):
        raise InputError(f"None of the {len(examples)} examples has the label {positive!r}.")
    texts: list[tuple[str, str]] = []
    for index, each in enumerate(examples):
        if each.text_pair is None:
            raise InputError(f"Example {index} has one text; a cross-encoder reads two.")
        texts.append((each.text, each.text_pair))
    pairs = TruePairs(truth, _scores(model, texts, advance))
    statistics = {"average_precision": pairs.average_precision, "accuracy": pairs.accuracy}
    return Evaluation.of("pairs", statistics, len(texts), intervals=intervals)


def is_label(label: str | float, name: str) -> bool:
    """Return whether a label has this name; numbers are equal in any notation."""
    if str(label) == name:
        return True
    try:
        return float(label) == float(name)
    except ValueError:
        return False


def _scores(model: CrossEncoder, texts: Sequence[tuple[str, str]], advance: Advance | None) -> list[float]:
    """Return a cross-encoder's score of each pair; raise `InputError` for NaN."""
    scores = [float(score) for score in in_steps(model.predict, texts, advance)]
    check_finite(scores)
    return scores


def _require_one_label(model: CrossEncoder) -> None:
    if model.num_labels != 1:
        raise InputError(
            f"Pairs need a cross-encoder with one label, this one has {model.num_labels}; "
            "`munjang evaluate classification` measures those."
        )


def _correlated(pairs: Sequence[ScoredPair], scores: Sequence[float], intervals: bool) -> Evaluation:
    check_finite(scores)
    sides = NumberPairs([pair.score for pair in pairs], scores)
    statistics = {"spearman": sides.spearman, "pearson": sides.pearson}
    return Evaluation.of("similarity", statistics, len(pairs), intervals=intervals, notes=sides.notes)
