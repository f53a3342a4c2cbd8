"""Training: the training loop and the objectives for it.

Training needs PyTorch (the extra ``train``). The names are imported lazily, on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from munjang.errors import MissingExtraError
from munjang.lazy import lazy_names

if TYPE_CHECKING:
    from munjang.training import losses as losses
    from munjang.training.distillation.classifier import distill_classifier as distill_classifier
    from munjang.training.distillation.encoder import distill_sentence_encoder as distill_sentence_encoder
    from munjang.training.distillation.models import make_student as make_student
    from munjang.training.distillation.options import (
        ClassifierDistillationTask as ClassifierDistillationTask,
    )
    from munjang.training.distillation.options import (
        CrossEncoderDistillationTask as CrossEncoderDistillationTask,
    )
    from munjang.training.distillation.options import EncoderDistillationTask as EncoderDistillationTask
    from munjang.training.distillation.options import Goals as Goals
    from munjang.training.distillation.options import LayerMatching as LayerMatching
    from munjang.training.distillation.options import ScoreDistillationTask as ScoreDistillationTask
    from munjang.training.distillation.scores import distill_cross_encoder as distill_cross_encoder
    from munjang.training.distillation.scores import distill_scores as distill_scores
    from munjang.training.loop.loop import train as train
    from munjang.training.loop.objective import Loss as Loss
    from munjang.training.loop.objective import Objective as Objective
    from munjang.training.loop.report import TrainingResult as TrainingResult
    from munjang.training.loop.watchers import Step as Step
    from munjang.training.loop.watchers import Watcher as Watcher
    from munjang.training.losses.base import InputExample as InputExample
    from munjang.training.options import AnswersTask as AnswersTask
    from munjang.training.options import ClassificationTask as ClassificationTask
    from munjang.training.options import EntitiesTask as EntitiesTask
    from munjang.training.options import MiningTask as MiningTask
    from munjang.training.options import NewModel as NewModel
    from munjang.training.options import PretrainingTask as PretrainingTask
    from munjang.training.options import RelationsTask as RelationsTask
    from munjang.training.options import RerankingTask as RerankingTask
    from munjang.training.options import SentencesTask as SentencesTask
    from munjang.training.options import TrainingOptions as TrainingOptions
    from munjang.training.options import VocabularyTask as VocabularyTask
    from munjang.training.pretraining.corpus import TokenCorpus as TokenCorpus
    from munjang.training.pretraining.masked import InitialModel as InitialModel
    from munjang.training.pretraining.masked import MaskedLanguageObjective as MaskedLanguageObjective
    from munjang.training.pretraining.train import train_masked_language_model as train_masked_language_model
    from munjang.training.sentences.mining import mine_hard_negatives as mine_hard_negatives
    from munjang.training.sentences.train import train_sentence_transformer as train_sentence_transformer
    from munjang.training.tasks.answers import train_question_answering as train_question_answering
    from munjang.training.tasks.classification import train_text_classification as train_text_classification
    from munjang.training.tasks.entities import train_token_classification as train_token_classification
    from munjang.training.tasks.relations import train_relation_extraction as train_relation_extraction
    from munjang.training.tasks.reranking import train_cross_encoder as train_cross_encoder
    from munjang.training.vocabulary.add import AddedTokens as AddedTokens
    from munjang.training.vocabulary.add import Suggestion as Suggestion
    from munjang.training.vocabulary.add import add_domain_tokens as add_domain_tokens
    from munjang.training.vocabulary.add import suggest_tokens as suggest_tokens
    from munjang.training.vocabulary.train import train_wordpiece as train_wordpiece
    from munjang.training.vocabulary.trim import Trimmed as Trimmed
    from munjang.training.vocabulary.trim import trim_vocabulary as trim_vocabulary

_load, __dir__ = lazy_names(
    __name__,
    {
        "munjang.training.distillation.classifier": ("distill_classifier",),
        "munjang.training.distillation.encoder": ("distill_sentence_encoder",),
        "munjang.training.distillation.models": ("make_student",),
        "munjang.training.distillation.options": (
            "ClassifierDistillationTask",
            "CrossEncoderDistillationTask",
            "EncoderDistillationTask",
            "Goals",
            "LayerMatching",
            "ScoreDistillationTask",
        ),
        "munjang.training.distillation.scores": ("distill_cross_encoder", "distill_scores"),
        "munjang.training.loop.loop": ("train",),
        "munjang.training.loop.objective": ("Loss", "Objective"),
        "munjang.training.loop.report": ("TrainingResult",),
        "munjang.training.loop.watchers": ("Step", "Watcher"),
        "munjang.training.losses.base": ("InputExample",),
        "munjang.training.options": (
            "AnswersTask",
            "ClassificationTask",
            "EntitiesTask",
            "MiningTask",
            "NewModel",
            "PretrainingTask",
            "RelationsTask",
            "RerankingTask",
            "SentencesTask",
            "TrainingOptions",
            "VocabularyTask",
        ),
        "munjang.training.pretraining.corpus": ("TokenCorpus",),
        "munjang.training.pretraining.masked": ("InitialModel", "MaskedLanguageObjective"),
        "munjang.training.pretraining.train": ("train_masked_language_model",),
        "munjang.training.sentences.mining": ("mine_hard_negatives",),
        "munjang.training.sentences.train": ("train_sentence_transformer",),
        "munjang.training.tasks.answers": ("train_question_answering",),
        "munjang.training.tasks.classification": ("train_text_classification",),
        "munjang.training.tasks.entities": ("train_token_classification",),
        "munjang.training.tasks.relations": ("train_relation_extraction",),
        "munjang.training.tasks.reranking": ("train_cross_encoder",),
        "munjang.training.vocabulary.add": (
            "AddedTokens",
            "Suggestion",
            "add_domain_tokens",
            "suggest_tokens",
        ),
        "munjang.training.vocabulary.train": ("train_wordpiece",),
        "munjang.training.vocabulary.trim": ("Trimmed", "trim_vocabulary"),
    },
    modules=("losses",),
)
__all__ = [*__dir__()]


def __getattr__(name: str) -> object:
    try:
        return _load(name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError.of("Training needs PyTorch, which is not installed", "train") from None
