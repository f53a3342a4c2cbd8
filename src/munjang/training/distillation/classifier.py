"""Distillation of classifiers: the student learns the teacher's probabilities and the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.data.examples import LabelledText
from munjang.errors import InputError
from munjang.evaluation.classification import evaluate_classification, labels_of_model
from munjang.models.program import LOGITS
from munjang.runtime.model import Model
from munjang.tasks.loading import Loaded
from munjang.tasks.scores import logits_of
from munjang.tasks.text_classification import TextClassification, as_texts
from munjang.tokenization.encoding import TokenIds
from munjang.training.distillation.layers import LayerMatcher
from munjang.training.distillation.models import (
    Layers,
    check_same_tokens,
    describe_distillation,
    open_student_classifier,
    open_teacher_classifier,
)
from munjang.training.distillation.options import (
    CLASSIFIER_OPTIONS,
    ClassifierDistillationTask,
    LayerMatching,
)
from munjang.training.examples import checked_examples
from munjang.training.loop.loop import train
from munjang.training.loop.objective import Loss
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.models import longest_of
from munjang.training.options import Name, TrainingOptions
from munjang.training.tasks.base import TaskObjective
from munjang.training.tasks.classification import TextClassificationObjective

Text = str | tuple[str, str]
_MAX_LENGTH = 256
_UNLABELLED = -1


def soft_label_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, task: ClassifierDistillationTask
) -> Tensor:
    """Return ``alpha T^2 KL(teacher / T || student / T) + (1 - alpha) cross-entropy`` of each text, ``[B]``.

    ``T^2`` makes the size of the gradients independent of the temperature (arXiv:1503.02531, section 2).
    Logits are ``[B, n]``, labels ``[B]``, -1 for a text without a label.
    """
    temperature = task.temperature
    soft = functional.kl_div(
        (student / temperature).log_softmax(dim=-1),
        (teacher / temperature).log_softmax(dim=-1),
        reduction="none",
        log_target=True,
    ).sum(dim=-1)
    hard = functional.cross_entropy(student, labels, ignore_index=_UNLABELLED, reduction="none")
    alpha = torch.where(labels == _UNLABELLED, 1.0, task.alpha)
    return alpha * temperature**2 * soft + (1 - alpha) * hard


@dataclass(frozen=True, slots=True)
class _Example:
    texts: tuple[TokenIds]
    label: int
    logits: NDArray[np.float32]  # the teacher's


class ClassifierDistillation(TaskObjective[_Example]):
    """A loss on soft labels, on labels of labelled examples, and optionally on the teacher's layers.

    Args:
        teacher: a model with a trained classification head; it processes every text once, before training.
        student: a model with the same labels and the backend ``torch``.
        examples: texts and pairs, with or without labels.
        held_out: the evaluation examples.
        task: the options of the task.
        options: the options of the run.

    Raises `InputError` for a teacher with a single output or with multi-label
    classification, for labels that the teacher does not have, and with ``matching`` for tokenizers that
    differ.
    """

    name = "classifier-distillation"
    snippet = TextClassificationObjective.snippet

    def __init__(
        self,
        teacher: Loaded,
        student: Loaded,
        examples: Sequence[LabelledText | Text],
        held_out: Sequence[LabelledText],
        task: ClassifierDistillationTask,
        options: TrainingOptions,
    ) -> None:
        _check_labels(teacher.model)
        self._task, self._held_out = task, held_out
        self.metric = "accuracy" if held_out else None
        self._classifier = TextClassification(student)
        labels_of_model([e.label for e in held_out], teacher.model.config.labels.id2label)
        most = min(student.max_length, teacher.max_length)
        self._max_length = longest_of(most, task.max_length)
        if task.max_length is None:
            self._max_length = min(most, _MAX_LENGTH)
        prepared = self._prepared(teacher, student, examples)
        self._matcher = _matched(teacher, student, examples, task.matching, options.seed)
        description: dict[str, str | int | float] = {
            **describe_distillation(
                (student.tokenizer.name_or_path, student.model),
                (teacher.tokenizer.name_or_path, teacher.model),
                examples,
                held_out,
            ),
            "examples without label": sum(e.label == _UNLABELLED for e in prepared),
            "temperature": task.temperature,
            "alpha": task.alpha,
            "matching": task.matching.describe() if task.matching else "none",
            "longest text in tokens": self._max_length,
        }
        own = self._matcher.tensors() if self._matcher else None
        super().__init__(student, prepared, options, description, more=own)
        if self._matcher is not None:
            self._matcher.to(self.network.device)
            self._program = student.model.program(frozenset({LOGITS}), self._matcher.taps)

    def _prepared(
        self, teacher: Loaded, student: Loaded, examples: Sequence[LabelledText | Text]
    ) -> list[_Example]:
        texts = as_texts([_text(example) for example in examples])
        limit = self._max_length
        logits = logits_of(
            teacher.model, teacher.tokenizer.encode_ids(texts, truncation=True, max_length=limit)
        )
        ids = student.tokenizer.encode_ids(texts, truncation=True, max_length=limit)
        labels = _label_numbers(examples, teacher.model.config.labels.id2label)
        return [_Example((text,), *rest) for text, *rest in zip(ids, labels, logits, strict=True)]

    def loss(self, examples: Sequence[_Example], rng: np.random.Generator) -> Loss:  # noqa: ARG002
        """Return the sum of `soft_label_loss` and, with ``matching``, of the loss on the layers."""
        batch = self.packed(examples)
        outputs = self.network.forward(self._program, batch)
        logits = outputs[LOGITS].float()
        teacher = torch.from_numpy(np.stack([example.logits for example in examples])).to(logits.device)
        labels = torch.tensor([example.label for example in examples], device=logits.device)
        losses = soft_label_loss(logits, teacher, labels, self._task)
        if self._matcher is not None:
            losses = losses + self._matcher(outputs, batch, self.network.more)
        return Loss(losses.sum(), len(examples))

    def evaluate(self) -> Mapping[str, float]:
        """Return accuracy and macro F1 on the held-out examples."""
        return evaluate_classification(self._classifier, self._held_out, intervals=False).values


def _matched(
    teacher: Loaded,
    student: Loaded,
    examples: Sequence[LabelledText | Text],
    matching: LayerMatching | None,
    seed: int,
) -> LayerMatcher | None:
    if matching is None:
        return None
    texts = [text for example in examples for text in _sides(_text(example))]
    check_same_tokens(student.tokenizer, teacher.tokenizer, texts)
    beside = Model(teacher.model.raw_config, teacher.model.weights, backend="torch")
    return LayerMatcher(matching, student.model, beside, seed=seed)


def distill_classifier(
    teacher: Name,
    examples: Sequence[LabelledText | Text],
    *,
    output: str | Path,
    student: Name | None = None,
    layers: Layers = None,
    held_out: Sequence[LabelledText] = (),
    task: ClassifierDistillationTask = ClassifierDistillationTask(),
    options: TrainingOptions = CLASSIFIER_OPTIONS,
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a small classifier to reproduce the predictions of a large classifier (arXiv:1503.02531).

    Args:
        teacher: a model with a trained classification head of two labels or more.
        examples: labelled texts and pairs; plain texts and pairs are trained only on the teacher's
            probabilities.
        output: the folder of the run.
        student: the model to train; by default a copy of some of the teacher's layers.
        layers: without ``student``: the number or the indices of these layers, by default half of them.
        held_out: labelled examples for the evaluation.
        task: the options of the task.
        options: the options of the run; by default three epochs at a learning rate of 5e-5.
        watchers: observers of the run.

    Raises what `ClassifierDistillation`, `make_student` and `train` raise, and `CheckpointError` for a
    teacher without a classification head.
    """
    examples, held_out = checked_examples(
        examples,
        held_out,
        LabelledText,
        str,
        tuple,
        task=(task, ClassifierDistillationTask),
        options=options,
        held_out_kinds=(LabelledText,),
    )
    opened = open_teacher_classifier(teacher)
    small = open_student_classifier(
        teacher, student, layers, labels=opened.model.config.labels.id2label, seed=options.seed
    )
    objective = ClassifierDistillation(opened, small, examples, held_out, task, options)
    return train(objective, output, options, watchers=watchers)


def _text(example: LabelledText | Text) -> Text:
    if not isinstance(example, LabelledText):
        return example
    return example.text if example.text_pair is None else (example.text, example.text_pair)


def _sides(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text


def _label_numbers(examples: Sequence[LabelledText | Text], id2label: Mapping[int, str]) -> list[int]:
    labels = [example.label for example in examples if isinstance(example, LabelledText)]
    names = iter(labels_of_model(labels, id2label))
    numbers = {name: number for number, name in id2label.items()}
    return [
        numbers[next(names)] if isinstance(example, LabelledText) else _UNLABELLED for example in examples
    ]


def _check_labels(teacher: Model) -> None:
    labels = teacher.config.labels
    if labels.num_labels < 2:
        raise InputError(
            "The teacher has one output, so there are no labels to choose from; use distill_cross_encoder "
            "instead."
        )
    if labels.problem_type == "multi_label_classification":
        raise InputError(
            "The teacher is a multi-label classifier; soft labels need a single label for each text."
        )
