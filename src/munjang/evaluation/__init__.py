"""How good a model or an index is, on published data."""

from munjang.evaluation.metrics import ranking_metrics
from munjang.evaluation.resampling import Estimate
from munjang.evaluation.retrieval import RetrievalResult, RetrievalTask, evaluate_retrieval
from munjang.evaluation.retrieval_data import beir_folder, chatbot_questions, korquad

__all__ = [
    "Estimate",
    "RetrievalResult",
    "RetrievalTask",
    "beir_folder",
    "chatbot_questions",
    "evaluate_retrieval",
    "korquad",
    "ranking_metrics",
]
