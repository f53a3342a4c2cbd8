"""Tiny models and examples to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from munjang.data.examples import LabelledText
from munjang.training.options import ClassificationTask, TrainingOptions
from munjang.training.tasks.classification import TextClassificationObjective
from support.sentences import make_checkpoint

__all__ = ["CAREFUL", "EXAMPLES", "OPTIONS", "classifier", "tiny_model", "with_task"]

_GOOD = ("정말 재미있는 영화", "축구는 정말 재미있는 일이다", "food for the girl", "오늘 하루 정말")
_BAD = ("a man pushed carts", "한국의 수도는 서울", "unknown pieces", "two men through the woods")

EXAMPLES = [
    LabelledText(f"{text} {i}", None, label)
    for i in range(5)
    for label, texts in (("good", _GOOD), ("bad", _BAD))
    for text in texts
]
OPTIONS = TrainingOptions(epochs=6, batch_size=8, learning_rate=2e-3, device="cpu")
# With small steps, sums in a different order are equal to many digits.
CAREFUL = replace(OPTIONS, epochs=2, learning_rate=1e-4)


def tiny_model(folder: Path, architecture: str = "bert", *, dropout: float = 0.02) -> Path:
    """Write a random checkpoint with its tokenizer."""
    settings = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    if architecture == "distilbert":
        settings = {"dropout": dropout, "attention_dropout": dropout, "seq_classif_dropout": dropout}
    make_checkpoint(architecture, folder, settings=settings)
    return folder


def classifier(
    model: Path,
    options: TrainingOptions = OPTIONS,
    *,
    examples: Sequence[LabelledText] = EXAMPLES,
    held_out: Sequence[LabelledText] = EXAMPLES[:8],
) -> TextClassificationObjective:
    """Make the objective of a classifier."""
    return TextClassificationObjective(model, examples, held_out, ClassificationTask(), options)


def with_task(kind: type[Any], settings: Mapping[str, Any], name: str = "task") -> dict[str, Any]:
    """Return the settings, with the options of a task as one argument."""
    own = {field.name for field in fields(kind)}
    rest = {key: value for key, value in settings.items() if key not in own}
    return {**rest, name: kind(**{key: value for key, value in settings.items() if key in own})}
