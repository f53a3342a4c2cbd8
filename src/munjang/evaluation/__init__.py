"""How good a model or an index is, on data of yours or on published data.

The names are loaded when they are first used, so that a measure brings no engine with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from munjang.data.examples import (
        AnswerSpan,
        Contrast,
        LabelledText,
        QuestionExample,
        RankedList,
        RelationExample,
        ScoredPair,
    )
    from munjang.evaluation.answers import evaluate_answers
    from munjang.evaluation.classification import evaluate_classification, evaluate_relations
    from munjang.evaluation.entities import evaluate_entities
    from munjang.evaluation.evaluation import Evaluation
    from munjang.evaluation.language_models import evaluate_language_model, perplexity
    from munjang.evaluation.measures.answers import answer_f1, exact_match
    from munjang.evaluation.measures.counts import accuracy, macro_f1, matthews, micro_f1
    from munjang.evaluation.measures.entities import character_f1, entity_f1, entity_macro_f1
    from munjang.evaluation.measures.numbers import mean_squared_error, pearson, spearman
    from munjang.evaluation.measures.rankings import graded_ndcg, mean_reciprocal_rank, ranking_metrics
    from munjang.evaluation.measures.resampling import Estimate, Statistic, estimates
    from munjang.evaluation.retrieval import RetrievalResult, RetrievalTask, evaluate_retrieval
    from munjang.evaluation.retrieval_data import beir_folder, chatbot_questions, korquad
    from munjang.evaluation.sentences import evaluate_reranking, evaluate_scored_pairs, evaluate_similarity

__all__ = [
    "AnswerSpan",
    "Contrast",
    "Estimate",
    "Evaluation",
    "LabelledText",
    "QuestionExample",
    "RankedList",
    "RelationExample",
    "RetrievalResult",
    "RetrievalTask",
    "ScoredPair",
    "Statistic",
    "accuracy",
    "answer_f1",
    "beir_folder",
    "character_f1",
    "chatbot_questions",
    "entity_f1",
    "entity_macro_f1",
    "estimates",
    "evaluate_answers",
    "evaluate_classification",
    "evaluate_entities",
    "evaluate_language_model",
    "evaluate_relations",
    "evaluate_reranking",
    "evaluate_retrieval",
    "evaluate_scored_pairs",
    "evaluate_similarity",
    "exact_match",
    "graded_ndcg",
    "korquad",
    "macro_f1",
    "matthews",
    "mean_reciprocal_rank",
    "mean_squared_error",
    "micro_f1",
    "pearson",
    "perplexity",
    "ranking_metrics",
    "spearman",
]

_HOMES = {
    "answering": ("evaluate_answers",),
    "answers": (
        "answer_f1",
        "exact_match",
    ),
    "classifying": (
        "evaluate_classification",
        "evaluate_relations",
    ),
    "counts": (
        "accuracy",
        "macro_f1",
        "matthews",
        "micro_f1",
    ),
    "entities": (
        "character_f1",
        "entity_f1",
        "entity_macro_f1",
    ),
    "evaluation": ("Evaluation",),
    "examples": (
        "AnswerSpan",
        "Contrast",
        "LabelledText",
        "QuestionExample",
        "RankedList",
        "RelationExample",
        "ScoredPair",
    ),
    "language": (
        "evaluate_language_model",
        "perplexity",
    ),
    "metrics": ("ranking_metrics",),
    "numbers": (
        "mean_squared_error",
        "pearson",
        "spearman",
    ),
    "rankings": (
        "graded_ndcg",
        "mean_reciprocal_rank",
    ),
    "resampling": (
        "Estimate",
        "Statistic",
        "estimates",
    ),
    "retrieval": (
        "RetrievalResult",
        "RetrievalTask",
        "evaluate_retrieval",
    ),
    "retrieval_data": (
        "beir_folder",
        "chatbot_questions",
        "korquad",
    ),
    "sentences": (
        "evaluate_reranking",
        "evaluate_scored_pairs",
        "evaluate_similarity",
    ),
    "tagging": ("evaluate_entities",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"munjang.evaluation.{module}"), name)
    raise AttributeError(f"module 'munjang.evaluation' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
