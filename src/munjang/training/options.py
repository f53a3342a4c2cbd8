"""How a model is trained: every number of the loop, with its default."""

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
)  # on the result, so a run may go on with others


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """The settings of a training run.

    Attributes:
        epochs: how often every example is seen; 0.5 is half of them.
        max_steps: updates after which to stop, whatever ``epochs`` says.
        batch_size: examples per batch.
        batch_tokens: tokens per batch, instead of a number of examples.
        gradient_accumulation_steps: batches per update.
        token_budget: tokens that go through the model at once; a larger batch is cut where its loss allows
            it, which changes nothing but the memory that is needed.
        learning_rate: of AdamW (arXiv:1711.05101), at its highest.
        schedule: after the warm-up, ``linear`` or ``cosine`` to zero, or ``constant``.
        warmup_ratio: the part of the updates during which the learning rate rises from zero.
        weight_decay: decoupled; biases and norms have none.
        max_grad_norm: gradients longer than this are shortened to it; 0 leaves them.
        adam_beta1, adam_beta2, adam_epsilon: as in the paper.
        layer_decay: each layer learns so much slower than the one above it (arXiv:1905.05583); 1 for none.
        freeze_layers: how many of the lowest layers, and the embeddings with them, stay as they are.
        freeze_embeddings: the embeddings alone stay as they are.
        evaluation_steps: updates between evaluations; by default one each epoch, and one at the end always.
        evaluate_first: measure the held-out examples before the first update too, so that the report can
            compare; what is measured there is not among the models of which the best is kept.
        checkpoint_steps: updates between checkpoints to go on from; by default with each evaluation. There is
            one every ten minutes anyway.
        patience: evaluations without a better result after which to stop.
        seed: of everything drawn at random.
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
        """The settings that decide the result: a run goes on only with the same."""
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
