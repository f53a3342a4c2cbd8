"""Zero-shot classification with any labels, by a model of natural-language inference (arXiv:1909.00161).

Each label becomes a hypothesis, and the model predicts whether it follows from the text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict, overload

import numpy as np

from munjang.errors import CheckpointError, InputError
from munjang.models.registry import SEQUENCE_CLASSIFICATION
from munjang.runtime.notices import warn_truncated
from munjang.sentence.activations import softmax
from munjang.tasks.loading import Loaded, ModelOptions, Task
from munjang.tasks.scores import Scores, check_text, logits_of
from munjang.tasks.text_classification import as_texts


class ZeroShotResult(TypedDict):
    """A text with the candidate labels, best first, and their scores."""

    sequence: str
    labels: list[str]
    scores: list[float]


class ZeroShotClassification(Task):
    """Scores the caller's own labels for a text.

    Example::

        classify = munjang.pipeline("zero-shot-classification", "folder/of/an/inference/model")
        classify("내일은 비가 온대요.", ["날씨", "운동"], hypothesis_template="이 글은 {}에 관한 것이다.")

    Raises what `Model.from_pretrained` raises, and `CheckpointError` if the model has no label for
    entailment.
    """

    head = SEQUENCE_CLASSIFICATION

    def __init__(
        self, model: str | os.PathLike[str] | Loaded, *, options: ModelOptions | None = None
    ) -> None:
        super().__init__(model, options=options)
        self.entailment_id, self.contradiction_id = entailment_and_contradiction(
            self.model.config.labels.id2label
        )

    @overload
    def __call__(  # type: ignore[overload-overlap] # a str is a sequence of str too
        self,
        sequences: str,
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = ...,
        multi_label: bool = ...,
    ) -> ZeroShotResult: ...
    @overload
    def __call__(
        self,
        sequences: Sequence[str],
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = ...,
        multi_label: bool = ...,
    ) -> list[ZeroShotResult]: ...
    def __call__(
        self,
        sequences: str | Sequence[str],
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = "This example is {}.",
        multi_label: bool = False,
    ) -> ZeroShotResult | list[ZeroShotResult]:
        """Score candidate labels for a text, or for each of a list.

        Args:
            sequences: a text or a list of texts.
            candidate_labels: a list of labels, or one string with commas between them.
            hypothesis_template: a sentence with ``{}`` for the label; for Korean texts and labels, a Korean
                sentence works better.
            multi_label: several labels may apply: each is scored separately, entailment against
                contradiction. Otherwise the scores of a text add up to 1.

        A text that is too long is truncated, never the hypothesis, with a `TruncationWarning`. Raises
        `InputError` for an empty text, no labels, a template without ``{}``, or a hypothesis that is too
        long.
        """
        labels = _labels(candidate_labels)
        hypotheses = [_hypothesis(hypothesis_template, label) for label in labels]
        single = isinstance(sequences, str)
        texts = [check_text(text, "A text") for text in as_texts([sequences] if single else sequences)]
        logits = self._logits([(text, hypothesis) for text in texts for hypothesis in hypotheses])
        logits = logits.reshape(len(texts), len(labels), self.model.config.labels.num_labels)
        scores = self._scores(logits, multi_label)
        results = [_result(text, labels, row) for text, row in zip(texts, scores, strict=True)]
        return results[0] if single else results

    def _logits(self, pairs: list[tuple[str, str]]) -> Scores:
        limit = self.max_length
        ids = self.tokenizer.encode_ids(pairs, truncation="only_first", max_length=limit)
        warn_truncated((pair.truncated for pair in ids), limit)
        return logits_of(self.model, ids)

    def _scores(self, logits: Scores, multi_label: bool) -> Scores:
        """Return the scores ``[texts, labels]`` from logits ``[texts, labels, n]``."""
        if multi_label or logits.shape[1] == 1:
            return softmax(logits[..., [self.contradiction_id, self.entailment_id]])[..., 1]
        return softmax(logits[..., self.entailment_id])


def entailment_and_contradiction(id2label: Mapping[int, str]) -> tuple[int, int]:
    """Find the two labels by the beginnings of their names, ignoring case.

    Without a label for contradiction it is the first label, or the last if entailment is the first. Raises
    `CheckpointError`, listing the labels, if there is no entailment.
    """
    beginnings = {label.lower()[:6]: index for index, label in sorted(id2label.items(), reverse=True)}
    entailment = beginnings.get("entail")
    if entailment is None or len(id2label) < 2:
        raise CheckpointError(
            "Zero-shot classification needs a model of natural-language inference with a label 'entailment'; "
            f"this one has {', '.join(id2label.values())}. If it is one, correct 'id2label' in config.json."
        )
    other = max(id2label) if entailment == 0 else 0
    return entailment, beginnings.get("contra", other)


def _labels(labels: str | Sequence[str]) -> list[str]:
    listed = labels.split(",") if isinstance(labels, str) else list(labels)
    if isinstance(labels, str):
        listed = [label.strip() for label in listed if label.strip()]
    if not listed:
        raise InputError("There are no candidate labels; pass at least one.")
    return [check_text(label, f"Candidate label {index}") for index, label in enumerate(listed)]


def _hypothesis(template: str, label: str) -> str:
    try:
        hypothesis = template.format(label)
    except (IndexError, KeyError, ValueError):
        hypothesis = template
    if hypothesis == template:
        raise InputError(f"hypothesis_template {template!r} must have a {{}} where the label goes.")
    return hypothesis


def _result(text: str, labels: list[str], scores: Scores) -> ZeroShotResult:
    order = np.argsort(-scores, kind="stable")
    return ZeroShotResult(
        sequence=text, labels=[labels[i] for i in order], scores=[float(scores[i]) for i in order]
    )
