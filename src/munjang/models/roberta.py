"""RoBERTa (arXiv:1907.11692) and XLM-RoBERTa (arXiv:1911.02116): BERT's layers, other positions and head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from munjang.errors import CheckpointError
from munjang.models import bert
from munjang.models.config import EncoderConfig, check_range, number
from munjang.models.ops import A, Ops
from munjang.models.params import Params


def read_config(raw: Mapping[str, Any]) -> EncoderConfig:
    """Read a RoBERTa ``config.json``: positions start after the padding index."""
    if raw.get("pad_token_id", 1) is None:
        raise CheckpointError("config.json: 'pad_token_id' is null, but positions count from it on.")
    pad_token_id = number(raw, "pad_token_id", 1)
    vocab_size = number(raw, "vocab_size", 50265 if raw.get("model_type") == "roberta" else 30522)
    check_range("pad_token_id", pad_token_id, 0, vocab_size - 1)
    return replace(
        bert.read_config(raw),
        vocab_size=vocab_size,
        pad_token_id=pad_token_id,
        position_offset=pad_token_id + 1,
    )


def classify(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:  # noqa: ARG001 - one signature for all heads
    """Compute sequence-classification logits: ``<s>`` vectors ``[B, H]`` -> ``[B, num_labels]``."""
    p = root / "classifier"
    x = ops.dropout(x, config.classifier_dropout)
    x = ops.tap("classifier.dense", ops.activation("tanh", ops.linear(x, p / "dense")))
    return ops.linear(ops.dropout(x, config.classifier_dropout), p / "out_proj")
