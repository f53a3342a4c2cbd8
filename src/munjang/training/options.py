"""The options of training runs, each with its default and its help text.

The help text of a field is its documentation, and the command line shows it: see `setting`. This module loads
neither torch nor NumPy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from munjang.errors import InputError
from munjang.validation import check_fields, checked_count, checked_number, optional_count


def setting(default: Any, help: str, metavar: str | None = None, **metadata: object) -> Any:  # noqa: A002
    """Return a field of an options dataclass.

    Args:
        default: the default value.
        help: the description of the option.
        metavar: the name of its value on a help page.
        metadata: further arguments of `munjang.cli.common.options.option`: the panel of the help page,
            ``shown``, the text that describes a default of ``None``, ``flags`` with other names, and others.
    """
    return field(default=default, metadata={"help": help, "metavar": metavar, **metadata})


Schedule = Literal["linear", "cosine", "constant"]
_BATCHES = {"panel": "How much is learned at once"}
_LEARNING = {"panel": "How it learns"}
_WATCHING = {"panel": "Measures and checkpoints"}
_MACHINE = {"panel": "Where it runs"}
_POSITIVE = ("epochs", "learning_rate", "adam_epsilon", "layer_decay")
_SHARES = ("warmup_ratio", "adam_beta1", "adam_beta2", "layer_decay")
_COUNTS = {
    "max_steps": 1,
    "batch_size": 1,
    "batch_tokens": 1,
    "gradient_accumulation_steps": 1,
    "token_budget": 1,
    "evaluation_steps": 1,
    "checkpoint_steps": 1,
    "patience": 1,
    "weight_decay": 0,
    "max_grad_norm": 0,
    "freeze_layers": 0,
    "seed": 0,
}
# On the result; a run may be resumed with other values.
WITHOUT_EFFECT = ("evaluate_first", "checkpoint_steps", "device")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """The settings of a training run."""

    epochs: float = setting(3.0, "Passes over the examples; 0.5 sees half of them.", **_BATCHES)
    max_steps: int | None = setting(
        None, "Updates to make, whatever epochs is.", shown="no bound", **_BATCHES
    )
    batch_size: int = setting(32, "Examples per batch.", **_BATCHES)
    batch_tokens: int | None = setting(
        None, "Tokens per batch, instead of a number of examples.", shown="--batch-size", **_BATCHES
    )
    gradient_accumulation_steps: int = setting(1, "Batches per update.", **_BATCHES)
    token_budget: int = setting(
        8192,
        "Tokens that the model processes at once; lower it to save memory. A larger batch is split, if the "
        "loss allows it, with the same result.",
        **_BATCHES,
    )
    learning_rate: float = setting(2e-5, "The maximum learning rate of AdamW.", **_LEARNING)
    schedule: Schedule = setting(
        "linear", "The learning rate after the warm-up: linear or cosine to 0, or constant.", **_LEARNING
    )
    warmup_ratio: float = setting(
        0.1, "The fraction of the updates during which the learning rate rises from 0.", **_LEARNING
    )
    weight_decay: float = setting(
        0.01, "Decoupled weight decay of matrices; biases and norms have none.", **_LEARNING
    )
    max_grad_norm: float = setting(
        1.0, "Gradients are clipped to this norm; 0 disables clipping.", **_LEARNING
    )
    adam_beta1: float = setting(
        0.9, "The decay of AdamW's mean of the gradients (arXiv:1711.05101).", **_LEARNING
    )
    adam_beta2: float = setting(0.999, "The decay of AdamW's mean of their squares.", **_LEARNING)
    adam_epsilon: float = setting(1e-8, "What AdamW adds to the root of the latter.", **_LEARNING)
    layer_decay: float = setting(
        1.0,
        "The factor of a layer's learning rate relative to the one above (arXiv:1905.05583); 1 disables it.",
        **_LEARNING,
    )
    freeze_layers: int = setting(
        0,
        "The number of lowest layers that are not trained; the embeddings are then frozen too.",
        **_LEARNING,
    )
    freeze_embeddings: bool = setting(False, "Freeze only the embeddings.", negatable=True, **_LEARNING)
    evaluation_steps: int | None = setting(
        None, "Updates between evaluations; there is always one at the end.", shown="an epoch", **_WATCHING
    )
    evaluate_first: bool = setting(
        True,
        "Also evaluate before the first update, for comparison; that model is never kept as the best model.",
        **_WATCHING,
    )
    checkpoint_steps: int | None = setting(
        None,
        "Updates between checkpoints for resuming; there is also one every ten minutes.",
        shown="with each evaluation",
        **_WATCHING,
    )
    patience: int | None = setting(
        None,
        "Stop after so many consecutive evaluations without a better result.",
        shown="never",
        **_WATCHING,
    )
    seed: int = setting(1, "The seed of all random choices.", **_LEARNING)
    device: str = setting("auto", "auto (a GPU if there is one), cpu, cuda or cuda:1.", **_MACHINE)
    bfloat16: bool = setting(
        False, "Multiply matrices in bfloat16, on hardware that has it.", negatable=True, **_MACHINE
    )

    def __post_init__(self) -> None:
        check_fields(self)
        for name in _POSITIVE:
            check_positive(name, getattr(self, name))
        for name, least in _COUNTS.items():
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        for name in _SHARES:
            checked_number(name, getattr(self, name), least=0, most=1)

    def deciding(self) -> dict[str, Any]:
        """Return the settings that determine the result; a run can be resumed only with equal ones."""
        return {name: value for name, value in asdict(self).items() if name not in WITHOUT_EFFECT}


def check_positive(name: str, value: float | None) -> None:
    """Raise `InputError` for a number that is not above 0; None has no value to check."""
    if value is not None and not value > 0:
        raise InputError(f"{name} must be more than 0, got {value}.")


class Task:
    """The base class of the options of a task: checks the types of all fields."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check_fields(self)


def _max_length(help: str, **metadata: Any) -> Any:  # noqa: A002
    return setting(None, help, min=1, **{"shown": "what the task and the model take", **metadata})


def _labels(help: str) -> Any:  # noqa: A002
    return setting(None, help, shown="all that occur")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationTask(Task):
    """The options of `train_text_classification`."""

    labels: Sequence[str] | None = _labels(
        "All labels in order; by default numbers by size, names alphabetically."
    )
    regression: bool = setting(False, "Labels are numbers; train a regression.")
    max_length: int | None = _max_length(
        "The maximum length of an example in tokens; longer ones are truncated."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitiesTask(Task):
    """The options of `train_token_classification`."""

    types: Sequence[str] | None = _labels(
        "All entity types in order. The model's labels are O, and B- and I- of each type."
    )
    max_length: int | None = _max_length(
        "The maximum length of a window in tokens; a longer text is split into overlapping windows."
    )


RelationHead = Literal["relation-extraction", "sequence-classification"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationsTask(Task):
    """The options of `train_relation_extraction`."""

    markers: Literal["plain", "klue", "typed"] = setting(
        "plain",
        "How entities are marked: plain, klue or typed, with the entity types that occur in the examples.",
    )
    head: RelationHead = setting(
        "relation-extraction",
        "relation-extraction uses the start markers' vectors, sequence-classification the first token's.",
    )
    labels: Sequence[str] | None = _labels("All relations in order.")
    max_length: int | None = _max_length(
        "The maximum length of a text in tokens; a longer text is truncated to the part around its entities."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersTask(Task):
    """The options of `train_question_answering`."""

    doc_stride: int | None = setting(
        None,
        "Tokens that neighbouring windows of a long context share.",
        min=0,
        shown="128, or half of a window",
    )
    negative_windows: float = setting(
        1.0, "The fraction of the windows without an answer that is kept, sampled once."
    )
    normalization: Literal["korquad", "squad"] = setting(
        "korquad", "The rules that make answers comparable in the evaluation: korquad or squad."
    )
    max_length: int | None = _max_length(
        "The maximum length of a window in tokens.", shown="384, or the model's if that is less"
    )

    def __post_init__(self) -> None:
        check_fields(self)
        checked_number("negative_windows", self.negative_windows, least=0, most=1)


RankingLossName = Literal["binary-cross-entropy", "mean-squared-error", "listnet", "ranknet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankingTask(Task):
    """The options of `train_cross_encoder`.

    For ``binary-cross-entropy`` and ``mean-squared-error``, scores and grades are divided by ``highest``;
    ``listnet`` and ``ranknet`` compare the documents of a list.
    """

    loss: RankingLossName | None = setting(
        None,
        "What is minimised: binary-cross-entropy, mean-squared-error, or for lists listnet or ranknet.",
        shown="listnet for lists, else binary-cross-entropy",
    )
    positive: str | None = setting(None, "The label of a matching pair.", "LABEL", shown="1")
    highest: float | None = setting(
        None, "The highest possible score or grade.", shown="the highest that occurs"
    )
    max_length: int | None = _max_length(
        "The maximum length of a pair in tokens; the saved model has the same limit."
    )

    def __post_init__(self) -> None:
        check_fields(self)
        check_positive("highest", self.highest)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencesTask(Task):
    """The options of `train_sentence_transformer`.

    ``pooling`` is ``mean``, ``cls``, ``max`` or a tuple of them; by default the pooling in the model's files,
    or the mean if they name none. ``prompt`` is the prefix of every text, or two prefixes: for the first text
    of an example and for the others; by default the prefix that `SentenceTransformer.encode` uses, for most
    models none.
    """

    pooling: str | Sequence[str] | None = None
    prompt: str | tuple[str, str] | None = None
    max_seq_length: int | None = _max_length(
        "The maximum length of a text in tokens.", flags=("--max-length",)
    )
    labels: Sequence[str] | None = _labels(
        "All labels in order; by default numbers by size, names alphabetically."
    )
    score_scale: float | None = setting(
        None, "The score of texts with the same meaning.", shown="5, or 1 if none is above 1"
    )

    def __post_init__(self) -> None:
        check_fields(self)
        check_positive("score_scale", self.score_scale)


Name = str | os.PathLike[str]  # of a model: a folder, a catalogue name or a hub repository


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingTask(Task):
    """The options of `train_masked_language_model`."""

    objective: Literal["masked", "electra"] = setting(
        "masked",
        "masked for masked language modelling, electra for replaced-token detection (arXiv:2003.10555).",
    )
    next_sentences: bool = setting(
        False,
        "Add next-sentence prediction (arXiv:1810.04805): a line is a sentence, blank lines part documents.",
    )
    added_tokens_only: bool = setting(
        False, "Train only the embeddings of tokens that `train add-tokens` (`add_domain_tokens`) added."
    )
    whole_words: bool = setting(False, "Mask all pieces of a word together (arXiv:1906.08101).")
    probability: float = setting(0.15, "The fraction of the tokens that is masked.")
    max_length: int | None = _max_length(
        "The maximum length in tokens, also of a new model; a longer text is split, a longer pair truncated.",
        shown="128, or the model's if that is less",
    )
    generator: Name | None = setting(
        None,
        "For electra: an existing generator.",
        shown="that in the model's folder generator, or a new one",
    )
    generator_size: float | None = setting(
        None, "For electra: the width of a new generator relative to the model.", shown="0.25"
    )
    corpus_folder: Path | str | None = setting(
        None, "The folder for the tokenised texts.", flags=("--corpus",), shown="OUTPUT.corpus"
    )
    encoding: str = "utf-8"  # of the files

    def check(self) -> None:
        """Raise `InputError` for options that can't be combined."""
        if self.next_sentences and self.objective == "electra":
            raise InputError("Next sentences are learned beside masked words, not with objective='electra'.")
        if self.added_tokens_only and (self.next_sentences or self.objective != "masked"):
            raise InputError("The embeddings of added tokens alone are trained by masked words alone.")
        if self.objective != "electra" and (self.generator is not None or self.generator_size is not None):
            raise InputError("A generator is part of objective='electra' only.")
        if self.generator is not None and self.generator_size is not None:
            raise InputError("generator_size is for a new generator; the named generator has a fixed size.")


# The defaults of `train_masked_language_model` for a new model, and for a model that exists.
NEW_MODEL_OPTIONS = TrainingOptions(
    learning_rate=5e-4, batch_tokens=4096, warmup_ratio=0.05, adam_beta2=0.98, adam_epsilon=1e-6
)
CONTINUED_OPTIONS = TrainingOptions(learning_rate=5e-5, batch_tokens=4096)
_NEW_MODEL = {"panel": "A new model"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel(Task):
    """The config of a new model, for pre-training from scratch."""

    model_type: Literal["bert", "roberta", "electra"] | None = setting(
        None,
        "The type: bert, roberta or electra.",
        flags=("--family",),
        shown="bert, or electra",
        **_NEW_MODEL,
    )
    layers: int | None = setting(None, "The number of layers.", min=1, shown="12", **_NEW_MODEL)
    width: int | None = setting(None, "The hidden size.", min=1, shown="768", **_NEW_MODEL)
    heads: int | None = setting(
        None, "The number of attention heads.", min=1, shown="one for each 64 of the width", **_NEW_MODEL
    )
    intermediate: int | None = setting(
        None, "The width inside a layer.", min=1, shown="four times the width", **_NEW_MODEL
    )
    dropout: float | None = setting(
        None, "The fraction of values that is dropped in training.", shown="0.1", **_NEW_MODEL
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningTask(Task):
    """The options of `mine_hard_negatives`: which candidates are accepted, and what is made of them.

    ``sampling_strategy`` is ``top``, the nearest candidates, or ``random``, a random sample of them.
    ``output_format`` is ``triplet`` for a single negative in each contrast, or ``n-tuple`` for all negatives
    in the same contrast; ``n-tuple`` leaves out pairs for which too few negatives were found. The prompts and
    their names are those of `SentenceTransformer.encode_query` for anchors and of
    `SentenceTransformer.encode_document` for other texts; a prompt overrides the model's prompts.
    """

    num_negatives: int = setting(3, "The number of negatives for each anchor.", min=1, flags=("--negatives",))
    range_min: int = setting(
        0, "The number of nearest candidates to skip, since they may be unlabelled positives.", min=0
    )
    range_max: int | None = setting(
        None,
        "The number of nearest texts that are candidates.",
        min=1,
        shown="as many as are needed, or ten times as many if scores may refuse them",
    )
    max_score: float | None = setting(None, "The highest score of a negative.")
    min_score: float | None = setting(None, "The lowest score of a negative.")
    absolute_margin: float | None = setting(
        None, "The minimum difference between the positive's score and the negative's.", flags=("--margin",)
    )
    relative_margin: float | None = setting(
        None, "The same, as a fraction of the absolute value of the positive's score."
    )
    seed: int = setting(1, "The seed for a random sample.", min=0)
    sampling_strategy: Literal["top", "random"] = "top"
    output_format: Literal["triplet", "n-tuple"] = "triplet"
    query_prompt_name: str | None = None
    query_prompt: str | None = None
    corpus_prompt_name: str | None = None
    corpus_prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyTask(Task):
    """The options of `train_wordpiece`."""

    vocab_size: int = setting(
        32000,
        "The maximum number of pieces, including the five special tokens; little text results in fewer.",
        flags=("--size",),
    )
    lowercase: bool = setting(False, "Ignore case.")
    morphemes: bool = setting(
        False, "Learn no piece that crosses a boundary of Korean morphemes; needs the extra ko."
    )
    limit_alphabet: int | None = setting(
        None,
        "The maximum number of characters, the most frequent first; words with other characters are unknown.",
        shown="a quarter of the vocabulary, at most 6,000",
    )
    min_frequency: int = setting(2, "The minimum number of occurrences of two adjacent pieces to merge them.")
    model_max_length: int = setting(
        512, "The maximum number of tokens of the model, written into the config.", flags=("--max-length",)
    )

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("vocab_size", "min_frequency", "model_max_length"):
            checked_count(name, getattr(self, name))
        optional_count("limit_alphabet", self.limit_alphabet)
