"""From logits to labels with scores, and other helpers of tasks with label heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.models.config import LabelConfig
from munjang.models.program import LOGITS
from munjang.runtime.model import Model
from munjang.runtime.runner import BatchEdit, TokenIdsLike
from munjang.sentence.activations import sigmoid, softmax
from munjang.validation import shown_value

Scores: TypeAlias = NDArray[np.float32]
Function: TypeAlias = Literal["softmax", "sigmoid", "none"]
_FUNCTIONS: dict[str, Callable[[Scores], Scores]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": lambda logits: logits,
}


class LabelScore(TypedDict):
    """A label and its score."""

    label: str
    score: float


def choose_function(labels: LabelConfig, chosen: Function | None) -> Function:
    """Return the function from logits to scores: the caller's, or the default for the config's labels.

    The default is the sigmoid for one label and for multi-label models, the softmax for several exclusive
    labels, and none for a regression. Raises `InputError` for an unknown name.
    """
    if chosen is not None:
        if chosen not in _FUNCTIONS:
            raise InputError(f"Unknown function_to_apply {chosen!r}; there are {', '.join(_FUNCTIONS)}.")
        return chosen
    if labels.problem_type == "regression":
        return "none"
    if labels.problem_type == "multi_label_classification" or labels.num_labels == 1:
        return "sigmoid"
    return "softmax"


def scores_of(function: Function, logits: Scores) -> Scores:
    """Apply a function to logits ``[B, n]``, each row on its own."""
    return np.asarray(_FUNCTIONS[function](logits), dtype=np.float32)


def ranked(labels: LabelConfig, scores: Scores, top_k: int | None) -> list[LabelScore]:
    """Return the labels with the scores ``[n]`` of a text, best first; the first ``top_k``, or all."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [LabelScore(label=labels.id2label[int(i)], score=float(scores[i])) for i in order]


def logits_of(model: Model, texts: Sequence[TokenIdsLike], edit: BatchEdit | None = None) -> Scores:
    """Run a head that computes one row per text: ``[B, n]``, in the order of the texts.

    Equal texts are run once, unless an ``edit`` may distinguish them.
    """
    program = model.program(frozenset({LOGITS}))
    return model.runner.rows(program, texts, (LOGITS, model.config.labels.num_labels), edit=edit)


def name_of_text(index: int, count: int) -> str:
    """Return the name of a text in messages, by its index among ``count`` texts."""
    return "The text" if count == 1 else f"Text {index}"


def check_text(text: object, name: str) -> str:
    """Return a text; raise `InputTypeError` for another type, `InputError` for an empty text."""
    if not isinstance(text, str):
        raise InputTypeError(f"{name} must be a str, got {shown_value(text)}.")
    if not text.strip():
        raise InputError(f"{name} is empty; write at least one word.")
    return text
