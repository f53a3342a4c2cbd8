"""Training of text classification and regression, for single texts and pairs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from munjang.data.examples import LabelledText
from munjang.errors import InputError
from munjang.evaluation.classification import evaluate_classification
from munjang.models.registry import SEQUENCE_CLASSIFICATION
from munjang.tasks.text_classification import TextClassification
from munjang.tokenization.encoding import TokenIds
from munjang.training.examples import checked_examples
from munjang.training.loop.loop import train
from munjang.training.loop.objective import Loss
from munjang.training.loop.report import TrainingResult
from munjang.training.loop.watchers import Watcher
from munjang.training.models import describe_run, longest_of, numbered, open_for_training
from munjang.training.options import ClassificationTask, TrainingOptions
from munjang.training.tasks.base import (
    TaskObjective,
)


@dataclass(frozen=True, slots=True)
class _Example:
    """A text or a pair with the number of its label, or with its regression target."""

    texts: tuple[TokenIds]
    target: float


class TextClassificationObjective(TaskObjective[_Example]):
    """Cross-entropy over labels, or the squared error of a number (regression).

    Args:
        model: the initial model.
        examples: texts or pairs with labels; with numbers as labels if ``regression``.
        held_out: the evaluation examples.
        task: the options of the task.
        options: the options of the run.

    Raises `InputError` if there are no examples, for a single label, for labels outside ``labels``, and for
    regression targets that are not numbers.
    """

    name = "text-classification"
    snippet = (
        'import munjang\n\nclassify = munjang.pipeline("text-classification", "{folder}")\nclassify("...")'
    )

    def __init__(
        self,
        model: str | os.PathLike[str],
        examples: Sequence[LabelledText],
        held_out: Sequence[LabelledText],
        task: ClassificationTask,
        options: TrainingOptions,
    ) -> None:
        examples, held_out = checked_examples(
            examples, held_out, LabelledText, task=(task, ClassificationTask), options=options
        )
        regression = task.regression
        if regression and task.labels is not None:
            raise InputError(f"labels={list(task.labels)} has no effect with regression=True; leave it out.")
        names = {0: "score"} if regression else numbered((str(e.label) for e in examples), task.labels)
        targets = _values(examples) if regression else _numbers(examples, names)
        # Check the held-out data now, not after the first epoch.
        _values(held_out) if regression else _numbers(held_out, names)
        loaded = open_for_training(
            model,
            SEQUENCE_CLASSIFICATION,
            labels=names,
            problem_type="regression" if regression else "single_label_classification",
            seed=options.seed,
        )
        texts = [e.text if e.text_pair is None else (e.text, e.text_pair) for e in examples]
        longest = longest_of(loaded.max_length, task.max_length)
        ids = loaded.tokenizer.encode_ids(texts, truncation=True, max_length=longest)
        description = describe_run(model, loaded.model, examples, held_out) | {
            "labels": ", ".join(names.values()),
            "longest text in tokens": longest,
            "texts that were cut": sum(text.truncated > 0 for text in ids),
        }
        prepared = [_Example((text,), target) for text, target in zip(ids, targets, strict=True)]
        super().__init__(loaded, prepared, options, description)
        self._regression = regression
        self._held_out = held_out
        self._classifier = TextClassification(loaded)
        if held_out:
            self.metric = "spearman" if regression else "accuracy"

    def loss(self, examples: Sequence[_Example], rng: object) -> Loss:  # noqa: ARG002
        """Return the cross-entropy or the squared error, summed over the examples."""
        logits = self.logits(examples)
        targets = torch.tensor([example.target for example in examples], device=logits.device)
        if self._regression:
            total = functional.mse_loss(logits[:, 0], targets, reduction="sum")
        else:
            total = functional.cross_entropy(logits, targets.long(), reduction="sum")
        return Loss(total, len(examples))

    def evaluate(self) -> Mapping[str, float]:
        """Return accuracy and the other metrics of `evaluate_classification`; correlations for regression."""
        return evaluate_classification(self._classifier, self._held_out, intervals=False).values


def _numbers(examples: Sequence[LabelledText], labels: Mapping[int, str]) -> list[float]:
    numbers = {label: float(number) for number, label in labels.items()}
    for index, example in enumerate(examples):
        if str(example.label) not in numbers:
            known = ", ".join(map(repr, numbers))
            raise InputError(f"Example {index} has the label {example.label!r}; there are {known}.")
    return [numbers[str(example.label)] for example in examples]


def _values(examples: Sequence[LabelledText]) -> list[float]:
    values = []
    for index, example in enumerate(examples):
        try:
            value = float(example.label)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"Example {index} has {example.label!r} in place of a number.")
        values.append(value)
    return values


def train_text_classification(
    examples: Sequence[LabelledText],
    *,
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    held_out: Sequence[LabelledText] = (),
    task: ClassificationTask = ClassificationTask(),
    options: TrainingOptions = TrainingOptions(),
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a model that predicts a label or a number for a text or a pair of texts.

    ``output`` is the folder of the run; the other arguments are those of `TextClassificationObjective`.
    Raises what the objective and `train` raise.
    """
    return train(
        TextClassificationObjective(model, examples, held_out, task, options),
        output,
        options,
        watchers=watchers,
    )
