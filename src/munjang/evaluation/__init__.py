"""How good a model or an index is, on data of yours or on published data.

The names are loaded when they are first used, so that a measure brings no engine with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from munjang.lazy import lazy_names

if TYPE_CHECKING:
    from munjang.data.examples import (
        AnswerSpan as AnswerSpan,
    )
    from munjang.data.examples import (
        Contrast as Contrast,
    )
    from munjang.data.examples import (
        LabelledText as LabelledText,
    )
    from munjang.data.examples import (
        QuestionExample as QuestionExample,
    )
    from munjang.data.examples import (
        RankedList as RankedList,
    )
    from munjang.data.examples import (
        RelationExample as RelationExample,
    )
    from munjang.data.examples import (
        ScoredPair as ScoredPair,
    )
    from munjang.evaluation.answers import evaluate_answers as evaluate_answers
    from munjang.evaluation.classification import (
        evaluate_classification as evaluate_classification,
    )
    from munjang.evaluation.classification import (
        evaluate_relations as evaluate_relations,
    )
    from munjang.evaluation.entities import evaluate_entities as evaluate_entities
    from munjang.evaluation.evaluation import Evaluation as Evaluation
    from munjang.evaluation.language_models import (
        evaluate_language_model as evaluate_language_model,
    )
    from munjang.evaluation.language_models import (
        perplexity as perplexity,
    )
    from munjang.evaluation.measures.answers import answer_f1 as answer_f1
    from munjang.evaluation.measures.answers import exact_match as exact_match
    from munjang.evaluation.measures.counts import (
        accuracy as accuracy,
    )
    from munjang.evaluation.measures.counts import (
        macro_f1 as macro_f1,
    )
    from munjang.evaluation.measures.counts import (
        matthews as matthews,
    )
    from munjang.evaluation.measures.counts import (
        micro_f1 as micro_f1,
    )
    from munjang.evaluation.measures.entities import (
        character_f1 as character_f1,
    )
    from munjang.evaluation.measures.entities import (
        entity_f1 as entity_f1,
    )
    from munjang.evaluation.measures.entities import (
        entity_macro_f1 as entity_macro_f1,
    )
    from munjang.evaluation.measures.numbers import (
        mean_squared_error as mean_squared_error,
    )
    from munjang.evaluation.measures.numbers import (
        pearson as pearson,
    )
    from munjang.evaluation.measures.numbers import (
        spearman as spearman,
    )
    from munjang.evaluation.measures.rankings import (
        graded_ndcg as graded_ndcg,
    )
    from munjang.evaluation.measures.rankings import (
        mean_reciprocal_rank as mean_reciprocal_rank,
    )
    from munjang.evaluation.measures.rankings import (
        ranking_metrics as ranking_metrics,
    )
    from munjang.evaluation.measures.resampling import (
        Estimate as Estimate,
    )
    from munjang.evaluation.measures.resampling import (
        Statistic as Statistic,
    )
    from munjang.evaluation.measures.resampling import (
        estimates as estimates,
    )
    from munjang.evaluation.retrieval import (
        RetrievalResult as RetrievalResult,
    )
    from munjang.evaluation.retrieval import (
        RetrievalTask as RetrievalTask,
    )
    from munjang.evaluation.retrieval import (
        evaluate_retrieval as evaluate_retrieval,
    )
    from munjang.evaluation.retrieval_data import (
        beir_folder as beir_folder,
    )
    from munjang.evaluation.retrieval_data import (
        chatbot_questions as chatbot_questions,
    )
    from munjang.evaluation.retrieval_data import (
        korquad as korquad,
    )
    from munjang.evaluation.sentences import (
        evaluate_reranking as evaluate_reranking,
    )
    from munjang.evaluation.sentences import (
        evaluate_scored_pairs as evaluate_scored_pairs,
    )
    from munjang.evaluation.sentences import (
        evaluate_similarity as evaluate_similarity,
    )

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "munjang.data.examples": (
            "AnswerSpan",
            "Contrast",
            "LabelledText",
            "QuestionExample",
            "RankedList",
            "RelationExample",
            "ScoredPair",
        ),
        "munjang.evaluation.answers": ("evaluate_answers",),
        "munjang.evaluation.classification": ("evaluate_classification", "evaluate_relations"),
        "munjang.evaluation.entities": ("evaluate_entities",),
        "munjang.evaluation.evaluation": ("Evaluation",),
        "munjang.evaluation.language_models": ("evaluate_language_model", "perplexity"),
        "munjang.evaluation.measures.answers": ("answer_f1", "exact_match"),
        "munjang.evaluation.measures.counts": ("accuracy", "macro_f1", "matthews", "micro_f1"),
        "munjang.evaluation.measures.entities": ("character_f1", "entity_f1", "entity_macro_f1"),
        "munjang.evaluation.measures.numbers": ("mean_squared_error", "pearson", "spearman"),
        "munjang.evaluation.measures.rankings": ("graded_ndcg", "mean_reciprocal_rank", "ranking_metrics"),
        "munjang.evaluation.measures.resampling": ("Estimate", "Statistic", "estimates"),
        "munjang.evaluation.retrieval": ("RetrievalResult", "RetrievalTask", "evaluate_retrieval"),
        "munjang.evaluation.retrieval_data": ("beir_folder", "chatbot_questions", "korquad"),
        "munjang.evaluation.sentences": (
            "evaluate_reranking",
            "evaluate_scored_pairs",
            "evaluate_similarity",
        ),
    },
)
__all__ = [*__dir__()]
