"""Typed configurations, read from a checkpoint's ``config.json``.

Names and defaults are the same as in the published configurations. A value that would change the arithmetic
and is not implemented raises an error that names it: an error is better than a wrong vector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from munjang.errors import CheckpointError, UnsupportedModelError
from munjang.models.ops import ACTIVATIONS

N = TypeVar("N", int, float, str)
_MOST = 2**31 - 1
_MOST_LABELS = 1_000_000
_COUNTS = (
    "vocab_size",
    "hidden_size",
    "embedding_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
_DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "embedding_dropout_prob",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """The meaning of a classification head's outputs."""

    id2label: Mapping[int, str] = field(default_factory=dict)
    problem_type: str | None = None

    @property
    def num_labels(self) -> int:
        """The number of the head's outputs."""
        return len(self.id2label)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> LabelConfig:
        """Read ``id2label`` (or ``num_labels``) and ``problem_type``."""
        labels = raw.get("id2label")
        if labels is None:
            count = number(raw, "num_labels", 2)
            check_range("num_labels", count, 0, _MOST_LABELS)
            labels = {i: f"LABEL_{i}" for i in range(count)}
        try:
            id2label = {int(key): str(value) for key, value in labels.items()}
        except (AttributeError, TypeError, ValueError, OverflowError):
            raise CheckpointError(
                f"config.json: 'id2label' must map numbers to names, got {shown(labels)}."
            ) from None
        return cls(id2label=id2label, problem_type=raw.get("problem_type"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """The numbers that shape an encoder of the BERT family."""

    model_type: str
    vocab_size: int = 30522
    hidden_size: int = 768
    embedding_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float = 0.1
    embedding_dropout_prob: float = 0.1
    pad_token_id: int = 0
    position_offset: int = 0
    causal: bool = False
    tie_word_embeddings: bool = True
    labels: LabelConfig = field(default_factory=LabelConfig)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            check_range(name, getattr(self, name), 1, _MOST)
        check_range("type_vocab_size", self.type_vocab_size, 0, _MOST)
        check_range("layer_norm_eps", self.layer_norm_eps, 0.0, 1.0)
        check_range("pad_token_id", self.pad_token_id, -1, _MOST)
        for name in _DROPOUTS:
            check_range(name, getattr(self, name), 0.0, 1.0)
        # If positions start after the padding token's id, the positions up to that id are not usable.
        check_range("max_position_embeddings", self.max_position_embeddings, self.position_offset + 1, _MOST)
        if self.hidden_size % self.num_attention_heads:
            raise CheckpointError(
                f"config.json: 'hidden_size' ({self.hidden_size}) must be a multiple of "
                f"'num_attention_heads' ({self.num_attention_heads})."
            )
        if self.hidden_act not in ACTIVATIONS:
            raise UnsupportedModelError(
                f"config.json: the activation {shown(self.hidden_act)} is not supported; "
                f"supported are {', '.join(sorted(ACTIVATIONS))}."
            )

    @property
    def max_length(self) -> int:
        """The maximum input length in tokens, special tokens included."""
        return self.max_position_embeddings - self.position_offset


def check_range(name: str, value: float, least: float, most: float = math.inf) -> None:
    """Raise `CheckpointError` if a value of the config is out of its range."""
    if not least <= value <= most:  # also True for NaN
        # The largest int32 is not shown as an upper bound unless the value exceeds it.
        limit = f"at least {least}" if most >= _MOST and not value > most else f"between {least} and {most}"
        raise CheckpointError(f"config.json: '{name}' must be {limit}, got {shown(value)}.")


def shown(value: object) -> str:
    """Return a value's text for an error message, shortened if it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python does not convert an integer of more than 4,300 digits to text
        text = "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:200]}..."


def number(raw: Mapping[str, Any], name: str, default: N) -> N:
    """Read a value of the default's type; raise `CheckpointError` if it has another type."""
    value = raw.get(name)
    if value is None:
        return default
    wanted = (int, float) if isinstance(default, float) else type(default)
    try:
        if isinstance(value, wanted) and not isinstance(value, bool):
            return type(default)(value)
    except OverflowError:  # an integer too large for a float
        pass
    raise CheckpointError(
        f"config.json: '{name}' must be of type {type(default).__name__}, got {shown(value)}."
    )


def flag(raw: Mapping[str, Any], name: str, default: bool) -> bool:
    """Read a boolean value; raise `CheckpointError` for any other type."""
    value = raw.get(name, default)
    if not isinstance(value, bool):
        raise CheckpointError(f"config.json: '{name}' must be true or false, got {shown(value)}.")
    return value


def with_own_names(raw: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a config with the architecture's own key names; ``names`` maps the general names to them.

    The reference implementation reads either name. Raises `CheckpointError` if both are present and differ.
    """
    config = dict(raw)
    for general, own in names.items():
        if raw.get(general) is None:
            continue
        if raw.get(own) not in (None, raw[general]):
            raise CheckpointError(
                f"config.json: '{general}' ({shown(raw[general])}) and '{own}' ({shown(raw[own])}) name the "
                "same number and differ."
            )
        config[own] = raw[general]
    return config


def reject_unsupported(raw: Mapping[str, Any]) -> None:
    """Raise `UnsupportedModelError` for values that change the arithmetic in ways not implemented here."""
    refused = {
        "position_embedding_type": raw.get("position_embedding_type") not in (None, "absolute"),
        "is_decoder": bool(raw.get("is_decoder")),
        "add_cross_attention": bool(raw.get("add_cross_attention")),
        "pruned_heads": bool(raw.get("pruned_heads")),
        "quantization_config": raw.get("quantization_config") is not None,
    }
    for name, is_refused in refused.items():
        if is_refused:
            raise UnsupportedModelError(f"config.json: '{name}' = {shown(raw[name])} is not supported.")
