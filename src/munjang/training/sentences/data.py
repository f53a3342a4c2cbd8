"""Conversion of labelled examples to the `InputExample` format of the losses on sentence vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from munjang.data.examples import Contrast, LabelledText, ScoredPair
from munjang.errors import InputError, InputTypeError
from munjang.training.examples import kind_of
from munjang.training.losses.base import (
    CosineSimilarityLoss,
    InputExample,
    SentenceLoss,
    SoftmaxLoss,
    Wanted,
)
from munjang.training.losses.contrastive import MultipleNegativesRankingLoss
from munjang.training.models import numbered
from munjang.validation import check_instance

SentenceSource: TypeAlias = ScoredPair | LabelledText | Contrast | InputExample

KINDS = (ScoredPair, LabelledText, Contrast, InputExample)
_USUAL_SCALE = 5.0  # of the STS benchmarks
_WANTED: Mapping[Wanted, str] = {
    "score": "pairs with scores",
    "label": "pairs with labels",
    "nothing": "contrasts (an anchor, a positive and negatives)",
    "vector": "InputExample(texts, label) with a vector as label",
}


@dataclass(frozen=True, slots=True)
class SentenceData:
    """Training examples, a suitable loss, and notes for the report.

    Attributes:
        examples: the training examples.
        loss: the loss that is minimised.
        labels: the labels' names by their numbers, for pairs with labels.
        notes: further entries of the report.
    """

    examples: list[InputExample]
    loss: SentenceLoss
    labels: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[str, str | int | float] = field(default_factory=dict)


def prepare(
    examples: Sequence[SentenceSource],
    loss: SentenceLoss | None = None,
    *,
    labels: Sequence[str] | None = None,
    score_scale: float | None = None,
) -> SentenceData:
    """Convert examples to the input of a loss.

    The default loss is `CosineSimilarityLoss` for scores and `SoftmaxLoss` for labels, as in the first
    Sentence-BERT, and `MultipleNegativesRankingLoss` for contrasts. Scores are divided by ``score_scale``, by
    default 5, or 1 if no score is above 1. A contrast with several negatives becomes several examples if the
    loss takes triplets. Raises `InputTypeError` for mixed kinds of examples, `InputError` for empty texts,
    missing second texts, a single label, a label that is not in ``labels``, scores outside the scale, and a
    loss that does not suit the examples.
    """
    if loss is not None:
        check_instance("loss", loss, SentenceLoss)
    kind = kind_of(examples, *KINDS)
    for name, value, needed in (("score_scale", score_scale, ScoredPair), ("labels", labels, LabelledText)):
        if value is not None and kind is not needed:
            raise InputError(
                f"{name}={value!r} has no effect on examples of type {kind.__name__}; leave it out."
            )
    if kind is ScoredPair:
        data = _scored([e for e in examples if isinstance(e, ScoredPair)], loss, score_scale)
    elif kind is LabelledText:
        data = _labelled([e for e in examples if isinstance(e, LabelledText)], loss, labels)
    elif kind is Contrast:
        data = _contrasts([e for e in examples if isinstance(e, Contrast)], loss)
    else:
        if loss is None:
            raise InputError("Examples of type InputExample need a loss; munjang.training.losses has them.")
        data = SentenceData([e for e in examples if isinstance(e, InputExample)], loss)
    check_texts([example.texts for example in data.examples])
    return data


def check_texts(rows: Sequence[Sequence[str]]) -> None:
    """Raise `InputError` for an empty text, `InputTypeError` for a value that is not a text."""
    for index, texts in enumerate(rows):
        if isinstance(texts, str) or not texts:
            raise InputTypeError(f"Example {index} must have a list of texts, got {texts!r}.")
        for number, text in enumerate(texts, start=1):
            if not isinstance(text, str):
                raise InputTypeError(f"Text {number} of example {index} is a {type(text).__name__}.")
            if not text.strip():
                raise InputError(f"Text {number} of example {index} is empty; leave such examples out.")


def _scored(pairs: Sequence[ScoredPair], loss: SentenceLoss | None, scale: float | None) -> SentenceData:
    chosen = _suited(loss or CosineSimilarityLoss(), "score")
    if scale is None:
        scale = _USUAL_SCALE if any(pair.score > 1 for pair in pairs) else 1.0
    for index, pair in enumerate(pairs):
        if not 0 <= pair.score <= scale:
            raise InputError(
                f"Pair {index} has the score {pair.score}; scores must be from 0 to {scale:g}, "
                "or choose another with score_scale=...."
            )
    examples = [InputExample((p.sentence1, p.sentence2), p.score / scale) for p in pairs]
    return SentenceData(examples, chosen, notes={"highest score": scale})


def _labelled(
    pairs: Sequence[LabelledText], loss: SentenceLoss | None, labels: Sequence[str] | None
) -> SentenceData:
    names = numbered((str(pair.label) for pair in pairs), labels)
    chosen = _suited(loss or SoftmaxLoss(len(names)), "label")
    numbers = {name: float(number) for number, name in names.items()}
    examples = [InputExample(_both(p, index), numbers[str(p.label)]) for index, p in enumerate(pairs)]
    return SentenceData(examples, chosen, names, {"labels": ", ".join(names.values())})


def _both(pair: LabelledText, index: int) -> tuple[str, str]:
    if pair.text_pair is None:
        raise InputError(f"Example {index} has no second text; a sentence encoder learns from pairs.")
    return pair.text, pair.text_pair


def _contrasts(contrasts: Sequence[Contrast], loss: SentenceLoss | None) -> SentenceData:
    chosen = _suited(loss or MultipleNegativesRankingLoss(), "nothing")
    if chosen.columns == 3 and all(contrast.negatives for contrast in contrasts):
        rows = [(c.anchor, c.positive, negative) for c in contrasts for negative in c.negatives]
        return SentenceData([InputExample(row) for row in rows], chosen)
    for index, contrast in enumerate(contrasts):
        if contrast.positive in contrast.negatives:
            raise InputError(f"Example {index} has its positive among the negatives: {contrast.positive!r}.")
    return SentenceData([InputExample((c.anchor, c.positive, *c.negatives)) for c in contrasts], chosen)


def _suited(loss: SentenceLoss, given: Wanted) -> SentenceLoss:
    if loss.wants != given:
        raise InputError(
            f"{loss.describe()} learns from {_WANTED[loss.wants]}, but these are {_WANTED[given]}."
        )
    return loss
