"""Distillation of a cross-encoder's scores into a smaller cross-encoder or into a sentence encoder.

The teacher scores every pair once, before training. The loss on single pairs is the squared difference of
scores. The loss on contrasts is the squared difference of margins (arXiv:2010.02666). A margin is the score
of the positive minus the score of a negative, so the student's scores may have a different zero point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from munjang.data.examples import Contrast, ScoredPair
from munjang.errors import InputError, InputTypeError
from munjang.evaluation.sentences import evaluate_scored_pairs, evaluate_similarity
from munjang.sentence.cross_encoder import CrossEncoder
from munjang.sentence.transformer import SentenceTransformer
from munjang.tasks.loading import Loaded
from munjang.tokenization.encoding import TokenIds
from munjang.training.distillation.models import Layers, describe_distillation, open_student_classifier
from munjang.training.distillation.options import (
    CLASSIFIER_OPTIONS,
    CrossEncoderDistillationTask,
    ScoreDistillationTask,
)
from munjang.training.examples import checked_examples
from munjang.training.loop.loop import train
from munjang.training.loop.objective import Loss
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.losses.base import CosineSimilarityLoss, InputExample, SentenceLoss
from munjang.training.losses.teacher import MarginMSELoss
from munjang.training.models import checksum, fingerprint_of_texts, longest_of
from munjang.training.options import Name, TrainingOptions
from munjang.training.sentences.objective import SentenceObjective
from munjang.training.sentences.train import open_encoder
from munjang.training.tasks.base import TaskObjective, name_activation, tokenised_pairs

Pair: TypeAlias = tuple[str, str]
PairExamples: TypeAlias = Sequence[Pair | Contrast]
_ACTIVATIONS = {
    "identity": "torch.nn.modules.linear.Identity",
    "sigmoid": "torch.nn.modules.activation.Sigmoid",
    "tanh": "torch.nn.modules.activation.Tanh",
}


def score_errors(scores: Tensor, wanted: Tensor) -> Tensor:
    """Compute the squared error of an example: of its score, or the mean over its margins.

    With several scores, a margin is the first score minus one of the others.
    """
    if len(scores) == 1:
        return (scores - wanted).square().sum()
    return ((scores[0] - scores[1:]) - (wanted[0] - wanted[1:])).square().mean()


@dataclass(frozen=True, slots=True)
class _Example:
    texts: tuple[TokenIds, ...]  # a pair, or the pairs with the positive and with each negative
    scores: NDArray[np.float32]  # the teacher's logits


class ScoreDistillation(TaskObjective[_Example]):
    """A loss by which a small cross-encoder learns the scores of a large cross-encoder.

    Args:
        teacher: a cross-encoder with a single label.
        student: a model with a head of a single label and the backend ``torch``.
        examples: pairs, or contrasts with negatives.
        held_out: scored pairs for the evaluation.
        task: the options of the task.
        options: the options of the run.

    Raises `InputError` for a contrast without negatives and for a teacher with several labels,
    `InputTypeError` for examples of other types.
    """

    name = "score-distillation"
    snippet = 'import munjang\n\nmodel = munjang.CrossEncoder("{folder}")\nmodel.predict([("...", "...")])'

    def __init__(
        self,
        teacher: CrossEncoder,
        student: Loaded,
        examples: PairExamples,
        held_out: Sequence[ScoredPair],
        task: CrossEncoderDistillationTask,
        options: TrainingOptions,
    ) -> None:
        groups = _groups(examples)
        self._held_out = held_out
        self.metric = "spearman" if held_out else None
        longest = longest_of(min(student.max_length, teacher.max_length), task.max_length)
        teacher.max_length = longest
        scores = _scores(teacher, groups, activation="identity")
        activation = _activation_of(teacher)
        name_activation(student, activation)
        description: dict[str, str | int | float] = {
            **describe_distillation(
                (student.tokenizer.name_or_path, student.model),
                (teacher.tokenizer.name_or_path, teacher.model),
                examples,
                held_out,
            ),
            "longest pair in tokens": longest,
        }
        ids = tokenised_pairs(groups, student, longest)
        prepared = [_Example(*each) for each in zip(ids, scores, strict=True)]
        super().__init__(student, prepared, options, description)
        self._encoder = CrossEncoder.of(
            student.model,
            student.tokenizer,
            activation_fn=activation,
            max_length=longest,
            on_truncation="ignore",
        )

    def loss(self, examples: Sequence[_Example], rng: np.random.Generator) -> Loss:  # noqa: ARG002
        """Return the sum of `score_errors`; the model processes all pairs in a single batch."""
        logits = self.logits(examples)[:, 0]
        parts = torch.split(logits, [len(example.texts) for example in examples])
        errors = [
            score_errors(scores, torch.from_numpy(example.scores).to(scores.device))
            for scores, example in zip(parts, examples, strict=True)
        ]
        return Loss(torch.stack(errors).sum(), len(examples))

    def evaluate(self) -> Mapping[str, float]:
        """Return the correlation of the student's scores with the human scores."""
        return evaluate_scored_pairs(self._encoder, self._held_out, intervals=False).values


def distill_cross_encoder(
    teacher: Name,
    examples: PairExamples,
    *,
    output: str | Path,
    student: Name | None = None,
    layers: Layers = None,
    held_out: Sequence[ScoredPair] = (),
    task: CrossEncoderDistillationTask = CrossEncoderDistillationTask(),
    options: TrainingOptions = CLASSIFIER_OPTIONS,
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a small cross-encoder to reproduce the scores of a large cross-encoder.

    Args:
        teacher: a cross-encoder with a single label.
        examples: pairs, whose targets are scores; or contrasts, whose targets are margins (arXiv:2010.02666).
        output: the folder of the run.
        student: the model to train; by default a copy of some of the teacher's layers.
        layers: without ``student``: the number or the indices of these layers, by default half of them.
        held_out: scored pairs for the evaluation.
        task: the options of the task.
        options: the options of the run; by default three epochs at a learning rate of 5e-5.
        watchers: observers of the run.

    Raises what `ScoreDistillation`, `make_student`, `munjang.CrossEncoder` and `train` raise.
    """
    examples, held_out = _checked(examples, held_out, (task, CrossEncoderDistillationTask), options)
    opened = _open_teacher(teacher)
    labels = opened.model.config.labels.id2label
    small = open_student_classifier(teacher, student, layers, labels=labels, seed=options.seed)
    objective = ScoreDistillation(opened, small, examples, held_out, task, options)
    return train(objective, output, options, watchers=watchers)


def distill_scores(
    teacher: Name,
    examples: PairExamples,
    *,
    model: Name,
    output: str | Path,
    held_out: Sequence[ScoredPair] = (),
    task: ScoreDistillationTask = ScoreDistillationTask(),
    options: TrainingOptions = TrainingOptions(),
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a sentence encoder whose similarities reproduce the scores of a cross-encoder.

    Args:
        teacher: a cross-encoder with a single label.
        examples: pairs: the target of the cosine of the two vectors is the teacher's score, which must lie
            between -1 and 1; or contrasts with the same number of negatives each: the targets of the margins
            of dot products are the margins of the teacher's logits (arXiv:2010.02666).
        model: the sentence encoder to train.
        output: the folder of the run.
        held_out: scored pairs for the evaluation.
        task: the options of the task.
        options: the options of the run.
        watchers: observers of the run.

    Raises `InputError` for scores out of range, and what `SentenceObjective` and `train` raise.
    """
    examples, held_out = _checked(examples, held_out, (task, ScoreDistillationTask), options)
    opened = _open_teacher(teacher)
    taught, loss = _taught(opened, _groups(examples), task.divisor)

    def measure(encoder: SentenceTransformer, _: Mapping[str, Tensor]) -> Mapping[str, float]:
        return evaluate_similarity(encoder, held_out, prompt=task.prompts[0], intervals=False).values

    objective = SentenceObjective(
        open_encoder(model),
        taught,
        loss,
        options,
        measure=measure if held_out else None,
        metric="spearman",
        prompts=task.prompts,
        description={
            "teacher": str(teacher),
            "teacher checksum": checksum(opened.model.weights),
            "held out": len(held_out),
            "held-out checksum": fingerprint_of_texts(held_out),
            "divisor": task.divisor,
        },
    )
    return train(objective, output, options, watchers=watchers)


def _taught(
    teacher: CrossEncoder, groups: Sequence[tuple[Pair, ...]], divisor: float
) -> tuple[list[InputExample], SentenceLoss]:
    """Return examples with the teacher's scores as labels, and the loss for them."""
    if len(groups[0]) > 1:
        margins = _scores(teacher, groups, activation="identity")
        texts = [(group[0][0], *(document for _, document in group)) for group in groups]
        pairs = zip(texts, margins, strict=True)
        return [InputExample(text, scores / divisor) for text, scores in pairs], MarginMSELoss()
    scores = np.concatenate(_scores(teacher, groups)) / divisor
    worst = int(np.abs(scores).argmax())
    if abs(scores[worst]) > 1:
        raise InputError(
            f"The teacher scores pair {worst} {scores[worst]:.3g}, but a cosine is between -1 and 1; "
            "choose a larger divisor."
        )
    return [
        InputExample(group[0], float(score)) for group, score in zip(groups, scores, strict=True)
    ], CosineSimilarityLoss()


def _scores(
    teacher: CrossEncoder, groups: Sequence[tuple[Pair, ...]], activation: str | None = None
) -> list[NDArray[np.float32]]:
    """Return the teacher's scores of each group's pairs."""
    pairs = [pair for group in groups for pair in group]
    scores = teacher.predict(pairs, activation_fn=activation)
    return np.split(scores, np.cumsum([len(group) for group in groups])[:-1])


def _groups(examples: PairExamples) -> list[tuple[Pair, ...]]:
    """Return the pairs of each example: a single pair, or the pairs of the positive and the negatives."""
    groups = [_group(example, index) for index, example in enumerate(examples)]
    if len({len(group) > 1 for group in groups}) > 1:
        raise InputTypeError("The examples are of two kinds; give only pairs, or only contrasts.")
    return groups


def _group(example: Pair | Contrast, index: int) -> tuple[Pair, ...]:
    if isinstance(example, Contrast):
        if not example.negatives:
            raise InputError(f"Example {index} has no negatives, so there is no margin to learn.")
        return tuple((example.anchor, document) for document in (example.positive, *example.negatives))
    if isinstance(example, tuple) and len(example) == 2 and all(isinstance(text, str) for text in example):
        return (example,)
    raise InputTypeError(f"Example {index} must be a pair of texts or a Contrast, got {example!r:.80}.")


def _checked(
    examples: PairExamples,
    held_out: Sequence[ScoredPair],
    task: tuple[object, type],
    options: TrainingOptions,
) -> tuple[PairExamples, list[ScoredPair]]:
    return checked_examples(
        examples, held_out, tuple, Contrast, task=task, options=options, held_out_kinds=(ScoredPair,)
    )


def _open_teacher(name: Name) -> CrossEncoder:
    teacher = CrossEncoder(name, on_truncation="ignore")
    if teacher.num_labels != 1:
        raise InputError(
            f"The teacher has {teacher.num_labels} labels, and a score is one number; "
            "use distill_classifier for it."
        )
    return teacher


def _activation_of(teacher: CrossEncoder) -> str:
    """Return the name of the teacher's activation; the student learns the logits and needs the same."""
    name = getattr(teacher.activation_fn, "__name__", "")
    if name not in _ACTIVATIONS:
        raise InputError(f"The teacher's activation {teacher.activation_fn!r} can't be saved with a student.")
    return _ACTIVATIONS[name]
