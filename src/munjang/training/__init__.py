"""Training: one visible loop, and what can be learned in it.

Everything that learns needs PyTorch, the extra ``train``; the names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from munjang.errors import MissingExtraError

if TYPE_CHECKING:
    from munjang.training import losses
    from munjang.training.distillation.classifier import distill_classifier
    from munjang.training.distillation.encoder import Goals, distill_sentence_encoder
    from munjang.training.distillation.layers import LayerMatching
    from munjang.training.distillation.models import make_student
    from munjang.training.distillation.scores import distill_cross_encoder, distill_scores
    from munjang.training.loop.loop import train
    from munjang.training.loop.objective import Loss, Objective
    from munjang.training.loop.report import TrainingResult
    from munjang.training.loop.watchers import Step, Watcher
    from munjang.training.losses.base import InputExample
    from munjang.training.options import TrainingOptions
    from munjang.training.pretraining.corpus import TokenCorpus
    from munjang.training.pretraining.masked import MaskedLanguageObjective
    from munjang.training.pretraining.train import train_masked_language_model
    from munjang.training.sentences.mining import mine_hard_negatives
    from munjang.training.sentences.train import train_sentence_transformer
    from munjang.training.tasks.answers import train_question_answering
    from munjang.training.tasks.classification import train_text_classification
    from munjang.training.tasks.entities import train_token_classification
    from munjang.training.tasks.relations import train_relation_extraction
    from munjang.training.tasks.reranking import train_cross_encoder
    from munjang.training.vocabulary.add import AddedTokens, Suggestion, add_domain_tokens, suggest_tokens
    from munjang.training.vocabulary.train import train_wordpiece
    from munjang.training.vocabulary.trim import Trimmed, trim_vocabulary

__all__ = [
    "AddedTokens",
    "Goals",
    "InputExample",
    "LayerMatching",
    "Loss",
    "MaskedLanguageObjective",
    "Objective",
    "Step",
    "Suggestion",
    "TokenCorpus",
    "TrainingOptions",
    "TrainingResult",
    "Trimmed",
    "Watcher",
    "add_domain_tokens",
    "distill_classifier",
    "distill_cross_encoder",
    "distill_scores",
    "distill_sentence_encoder",
    "losses",
    "make_student",
    "mine_hard_negatives",
    "suggest_tokens",
    "train",
    "train_cross_encoder",
    "train_masked_language_model",
    "train_question_answering",
    "train_relation_extraction",
    "train_sentence_transformer",
    "train_text_classification",
    "train_token_classification",
    "train_wordpiece",
    "trim_vocabulary",
]

_HOMES = {
    "adding_tokens": ("AddedTokens", "Suggestion", "add_domain_tokens", "suggest_tokens"),
    "answering": ("train_question_answering",),
    "corpus": ("TokenCorpus",),
    "distillation": ("distill_classifier",),
    "embedding_distillation": ("distill_sentence_encoder",),
    "hidden_states": ("LayerMatching",),
    "loop": ("train",),
    "mining": ("mine_hard_negatives",),
    "objective": ("Loss", "Objective"),
    "options": ("TrainingOptions",),
    "pretraining": ("MaskedLanguageObjective",),
    "pretraining_runs": ("train_masked_language_model",),
    "relations": ("train_relation_extraction",),
    "reranking": ("train_cross_encoder",),
    "result": ("TrainingResult",),
    "score_distillation": ("distill_cross_encoder", "distill_scores"),
    "sentence_losses": ("InputExample",),
    "sentence_training": ("train_sentence_transformer",),
    "students": ("make_student",),
    "tagging": ("train_token_classification",),
    "text_classification": ("train_text_classification",),
    "trimming": ("Trimmed", "trim_vocabulary"),
    "vector_targets": ("Goals",),
    "vocabulary": ("train_wordpiece",),
    "watching": ("Step", "Watcher"),
}


def __getattr__(name: str) -> object:
    if name == "losses":
        return _imported("losses")
    for module, names in _HOMES.items():
        if name in names:
            return getattr(_imported(module), name)
    raise AttributeError(f"module 'munjang.training' has no attribute '{name}'")


def _imported(module: str) -> object:
    try:
        return import_module(f"munjang.training.{module}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError.of("Training needs PyTorch, which is not installed", "train") from None


def __dir__() -> list[str]:
    return sorted(__all__)
