"""Learning a label, or a number, for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from munjang.errors import InputError
from munjang.evaluation.classifying import evaluate_classification
from munjang.evaluation.examples import LabelledText
from munjang.models.program import LOGITS
from munjang.models.registry import SEQUENCE_CLASSIFICATION
from munjang.runtime.batches import pack
from munjang.tasks.text_classification import TextClassification
from munjang.tokenization.encoding import TokenIds
from munjang.training.loop import TrainingResult, train
from munjang.training.network import Network
from munjang.training.objective import Loss, Objective
from munjang.training.options import TrainingOptions
from munjang.training.starting import (
    Source,
    checksum,
    fingerprint_of_texts,
    numbered,
    open_for_training,
    used_ids,
)
from munjang.training.watching import Watcher

__all__ = ["TextClassificationObjective", "train_text_classification"]


@dataclass(frozen=True, slots=True)
class _Example:
    ids: TokenIds
    target: float  # the label's number, or the value


class TextClassificationObjective(Objective[_Example]):
    """Cross-entropy over labels, or mean squared error of a number (regression).

    Args:
        source: the model to begin with.
        examples: texts or pairs with labels; numbers if ``regression``.
        held_out: examples to measure on.
        options: of the run.
        labels: all labels in their order, by default those that occur.
        regression: learn numbers.
        max_length: tokens that are read of an example, by default 256 or what the model takes.

    Raises `InputError` for one label only, for labels outside ``labels`` and in held-out data.
    """

    name = "text-classification"

    def __init__(
        self,
        source: Source,
        examples: Sequence[LabelledText],
        held_out: Sequence[LabelledText],
        options: TrainingOptions,
        *,
        labels: Sequence[str] | None = None,
        regression: bool = False,
        max_length: int | None = None,
    ) -> None:
        if not examples:
            raise InputError("There are no examples to learn from.")
        self._regression = regression
        numbers = {0: "score"} if regression else numbered((str(e.label) for e in examples), labels)
        loaded = open_for_training(
            source,
            SEQUENCE_CLASSIFICATION,
            labels=numbers,
            problem_type="regression" if regression else "single_label_classification",
            seed=options.seed,
        )
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self._classifier = TextClassification(loaded)
        self._held_out = held_out
        self.metric = ("spearman" if regression else "accuracy") if held_out else None
        self._max_length = min(loaded.max_length, max_length or _MAX_LENGTH)
        self._description: Mapping[str, str | int | float] = {
            "model": str(source.model),
            "model checksum": checksum(self.model.weights),
            "examples": len(examples),
            "held out": len(held_out),
            "data checksum": fingerprint_of_texts([*examples, *held_out]),
            "labels": ", ".join(numbers.values()),
            "longest text in tokens": self._max_length,
        }
        self.examples = self._prepared(examples, numbers)
        ids = used_ids(example.ids for example in self.examples)
        self.network = Network(self.model, options, used_ids=ids)
        self._program = self.model.program(frozenset({LOGITS}))

    def _prepared(self, examples: Sequence[LabelledText], labels: Mapping[int, str]) -> list[_Example]:
        texts = [e.text if e.text_pair is None else (e.text, e.text_pair) for e in examples]
        ids = self.tokenizer.encode_ids(texts, truncation=True, max_length=self._max_length)
        if self._regression:
            targets = [float(e.label) for e in examples]
        else:
            numbers = {label: float(number) for number, label in labels.items()}
            targets = [numbers[str(e.label)] for e in examples]
        return [_Example(*example) for example in zip(ids, targets, strict=True)]

    def costs(self) -> NDArray[np.intp]:
        """The tokens of each example."""
        return np.array([len(example.ids.input_ids) for example in self.examples], dtype=np.intp)

    def loss(self, examples: Sequence[_Example], rng: np.random.Generator) -> Loss:  # noqa: ARG002
        """Cross-entropy, or squared error."""
        batch = pack([example.ids for example in examples], self.model.runner.layout)
        logits = self.network.forward(self._program, batch)[LOGITS].float()
        targets = torch.tensor([example.target for example in examples], device=logits.device)
        if self._regression:
            total = functional.mse_loss(logits[:, 0], targets, reduction="sum")
        else:
            total = functional.cross_entropy(logits, targets.long(), reduction="sum")
        return Loss(total, len(examples))

    def evaluate(self) -> Mapping[str, float]:
        """Accuracy and macro F1, or the correlations."""
        found = evaluate_classification(self._classifier, self._held_out, intervals=False)
        return {name: estimate.value for name, estimate in found.metrics.items()}

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer."""
        self.model.set_weights(self.network.weights())
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def describe(self) -> Mapping[str, str | int | float]:
        """Name the data and the model."""
        return self._description

    def usage(self, folder: Path) -> str:
        """Show how to classify."""
        return (
            "import munjang\n\n"
            f'classify = munjang.pipeline("text-classification", "{folder}")\n'
            'classify("...")'
        )


_MAX_LENGTH = 256


def train_text_classification(
    examples: Sequence[LabelledText],
    *,
    model: str,
    output: str | Path,
    held_out: Sequence[LabelledText] = (),
    options: TrainingOptions | None = None,
    labels: Sequence[str] | None = None,
    regression: bool = False,
    max_length: int | None = None,
    watchers: Sequence[Watcher] = (),
) -> TrainingResult:
    """Train a model to give a label, or a number, to a text or a pair of texts.

    The arguments are those of `TextClassificationObjective`; ``output`` is the folder of the run.
    Raises what the objective and `train` raise.
    """
    chosen = options or TrainingOptions()
    objective = TextClassificationObjective(
        Source(model=model),
        examples,
        held_out,
        chosen,
        labels=labels,
        regression=regression,
        max_length=max_length,
    )
    return train(objective, Path(output), chosen, watchers=watchers)
