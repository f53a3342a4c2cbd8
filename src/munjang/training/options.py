"""The options of a training run, with their defaults."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from munjang.errors import InputError, InputTypeError

__all__ = ["Schedule", "TrainingOptions"]

Schedule = Literal["linear", "cosine", "constant"]
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
_WITHOUT_EFFECT = (
    "evaluate_first",
    "checkpoint_steps",
    "device",
)  # on the result, so a run may be resumed with other values


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """The settings of a training run.

    Attributes:
        epochs: the number of passes over the examples; with 0.5, half of the examples are seen.
        max_steps: the number of updates; if given, it overrides ``epochs``.
        batch_size: examples per batch.
        batch_tokens: tokens per batch, instead of a number of examples.
        gradient_accumulation_steps: batches per update.
        token_budget: tokens that the model processes at once. A larger batch is split if its loss allows it;
            this changes only the memory that is needed.
        learning_rate: the maximum learning rate of AdamW (arXiv:1711.05101).
        schedule: after the warm-up, ``linear`` or ``cosine`` to zero, or ``constant``.
        warmup_ratio: the fraction of the updates during which the learning rate rises from zero.
        weight_decay: decoupled; biases and norms have none.
        max_grad_norm: gradients are clipped to this norm; 0 disables clipping.
        adam_beta1, adam_beta2, adam_epsilon: as in the paper.
        layer_decay: the factor of a layer's learning rate relative to the layer above it (arXiv:1905.05583);
            1 disables it.
        freeze_layers: the number of lowest layers that are not trained; the embeddings are then frozen too.
        freeze_embeddings: freeze only the embeddings.
        evaluation_steps: updates between evaluations; by default an evaluation after each epoch. There is
            always an evaluation at the end.
        evaluate_first: also evaluate before the first update, for comparison in the report. The model before
            training is never kept as the best model.
        checkpoint_steps: updates between checkpoints for resuming; by default with each evaluation. A
            checkpoint is also written every ten minutes.
        patience: stop after this number of consecutive evaluations without a better result.
        seed: the seed of all random choices.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:1``.
        bfloat16: multiply matrices in bfloat16, on hardware that has it.
    """

    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 32
    batch_tokens: int | None = None
    gradient_accumulation_steps: int = 1
    token_budget: int = 8192
    learning_rate: float = 2e-5
    schedule: Schedule = "linear"
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    layer_decay: float = 1.0
    freeze_layers: int = 0
    freeze_embeddings: bool = False
    evaluation_steps: int | None = None
    evaluate_first: bool = True
    checkpoint_steps: int | None = None
    patience: int | None = None
    seed: int = 1
    device: str = "auto"
    bfloat16: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            _check_type(field.name, value, str(field.type))
            if value is not None:
                _check_range(field.name, value)
        if self.schedule not in get_args(Schedule):
            raise InputError(
                f"Unknown schedule {self.schedule!r}; there are {', '.join(get_args(Schedule))}."
            )

    def deciding(self) -> dict[str, Any]:
        """Return the settings that determine the result; a run can be resumed only with equal ones."""
        return {name: value for name, value in asdict(self).items() if name not in _WITHOUT_EFFECT}


def _check_type(name: str, value: object, declared: str) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {
        "int": int, "float": (int, float), "bool": bool, "str": str, "Schedule": str,
    }  # fmt: skip
    wanted = declared.removesuffix(" | None")
    if value is None and wanted != declared:
        return
    if not isinstance(value, kinds[wanted]) or (isinstance(value, bool) and wanted != "bool"):
        raise InputTypeError(f"{name} must be of type {wanted}, got {value!r}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} must be a number, got {value}.")


def _check_range(name: str, value: Any) -> None:
    if name in _POSITIVE and value <= 0:
        raise InputError(f"{name} must be more than 0, got {value}.")
    if name in _COUNTS and value < _COUNTS[name]:
        raise InputError(f"{name} must be at least {_COUNTS[name]}, got {value}.")
    if name in _SHARES and not 0 <= value <= 1:
        raise InputError(f"{name} must be between 0 and 1, got {value}.")
