"""How good a model or an index is, on the user's data or on published data.

Importing it needs nothing but NumPy: evaluators import the engine when they are called.
"""

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
from munjang.evaluation.retrieval import (
    RetrievalResult,
    RetrievalTask,
    beir_folder,
    chatbot_questions,
    evaluate_retrieval,
    korquad,
)
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
