"""The options of distillation. This module loads neither torch nor NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from munjang.errors import InputError
from munjang.training.options import Task, TrainingOptions, check_positive, setting
from munjang.validation import check_fields, checked_number

# The defaults for students that are classifiers or cross-encoders.
CLASSIFIER_OPTIONS = TrainingOptions(learning_rate=5e-5)
# Exact targets allow a far higher learning rate than fine-tuning. The embeddings are copied from the teacher
# and frozen, so that words that occur in no example stay consistent with the layers.
ENCODER_OPTIONS = TrainingOptions(epochs=4, batch_size=32, learning_rate=3e-4, freeze_embeddings=True)


def encoder_options(*, copied: bool) -> TrainingOptions:
    """Return the default options for a student encoder; ``copied``: its layers are copies of the teacher's.

    Otherwise its embeddings are trained too, since they may not suit the teacher's vectors.
    """
    return ENCODER_OPTIONS if copied else replace(ENCODER_OPTIONS, freeze_embeddings=False)


def _check_weights(options: object, *names: str) -> None:
    for name in names:
        if getattr(options, name) < 0:
            raise InputError(f"{name} must be 0 or more, got {getattr(options, name)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMatching:
    """The terms of the layer distillation loss, and their weights.

    Attributes:
        layers: for each student layer the index of its teacher layer, from 0; by default `uniform_map`.
        hidden_states: the weight of the layers' outputs, the mean over layers, tokens and components.
        attention: the weight of the attention, the mean over layers, heads and pairs of tokens.
        embeddings: the weight of the input of the first layer.
        attention_values: ``probabilities``, or the ``scores`` before the softmax.

    Raises `InputError` for weights below 0 or all 0, `InputTypeError` for values of other types.
    """

    layers: Sequence[int] | None = None
    hidden_states: float = 1.0
    attention: float = 0.0
    embeddings: float = 0.0
    attention_values: Literal["probabilities", "scores"] = "probabilities"

    def __post_init__(self) -> None:
        check_fields(self)
        _check_weights(self, "hidden_states", "attention", "embeddings")
        if not (self.hidden_states or self.attention or self.embeddings):
            raise InputError("Nothing is matched: hidden_states, attention and embeddings are all 0.")

    def describe(self) -> str:
        """Return the settings in a single line."""
        layers = "uniform" if self.layers is None else ", ".join(map(str, self.layers))
        return (
            f"layers {layers}; hidden states {self.hidden_states:.12g}, "
            f"attention {self.attention:.12g} ({self.attention_values}), embeddings {self.embeddings:.12g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierDistillationTask:
    """The options of `distill_classifier` (arXiv:1503.02531, section 2).

    With ``matching``, the student also learns from the teacher's layers; the teacher then processes every
    batch. Raises `InputError` for a temperature that is not above 0, or an alpha outside 0 to 1.
    """

    temperature: float = setting(
        2.0, "The divisor of the logits; above 1 it raises the probabilities of the less likely labels."
    )
    alpha: float = setting(
        0.5, "The weight of the teacher; the labels have the rest. Without a label, the teacher's is 1."
    )
    matching: LayerMatching | None = None
    max_length: int | None = setting(
        None,
        "The maximum length of an example in tokens.",
        min=1,
        shown="256, or the models' if that is less",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        check_positive("temperature", self.temperature)
        checked_number("alpha", self.alpha, least=0, most=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """The terms of the loss on a student's vectors, and their weights.

    Raises `InputError` for weights below 0 or both 0, and ``gold`` outside 0 to 1.
    """

    distance: Literal["cosine", "mse"] = setting(
        "cosine",
        "The distance to the teacher's vector: cosine, 1 - cosine, independent of the vectors' lengths; or "
        "mse, the mean squared difference of the components (arXiv:2004.09813).",
    )
    vectors: float = setting(1.0, "The weight of that distance.")
    pairs: float = setting(
        1.0, "The weight of the squared difference between a pair's cosine and its target."
    )
    gold: float = setting(
        0.5, "The weight of the human score in that target; the teacher's cosine has the rest."
    )
    highest_score: float = setting(
        5.0, "The score that corresponds to a cosine of 1; a score of 0 corresponds to 0."
    )

    def __post_init__(self) -> None:
        check_fields(self)
        _check_weights(self, "vectors", "pairs")
        checked_number("gold", self.gold, least=0, most=1)
        check_positive("highest_score", self.highest_score)
        if not (self.vectors or self.pairs):
            raise InputError("Nothing is to be learned: vectors and pairs are both 0.")

    def describe(self) -> str:
        """Return the settings in a single line."""
        return (
            f"vectors {self.vectors:.12g} ({self.distance}), pairs {self.pairs:.12g} ({self.gold:.12g} of it "
            f"people's scores up to {self.highest_score:.12g})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderDistillationTask(Task):
    """The options of `distill_sentence_encoder`.

    ``goals`` are the terms of the loss and their weights. With ``matching``, the student also learns from the
    teacher's layers, and the teacher processes every batch. ``reduce`` is ``pca`` for a student with shorter
    vectors than the teacher's.
    """

    goals: Goals = Goals()
    matching: LayerMatching | None = None
    prompt: str | None = setting(
        None, "The prefix of every text, also for the teacher.", "TEXT", shown="the student's default prompt"
    )
    dropout: bool = setting(False, "Use dropout in the student; it is off because the targets are exact.")
    reduce: Literal["pca"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderDistillationTask(Task):
    """The options of `distill_cross_encoder`."""

    max_length: int | None = setting(
        None, "The maximum length of a pair in tokens.", min=1, shown="the models' maximum"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDistillationTask(Task):
    """The options of `distill_scores`.

    ``prompts`` are the prefix of the first text of an example, and the prefix of its other texts. The
    teacher's scores are divided by ``divisor``; otherwise vectors of length 1 can't reach the margins of
    logits.
    """

    prompts: tuple[str, str] = ("", "")
    divisor: float = setting(1.0, "The divisor of the teacher's scores.", "X")

    def __post_init__(self) -> None:
        check_fields(self)
        check_positive("divisor", self.divisor)
