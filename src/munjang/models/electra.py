"""ELECTRA (arXiv:2003.10555): BERT's layers over embeddings that may be narrower than the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from munjang.models import bert
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig, number
from munjang.models.ops import A, Ops
from munjang.models.params import Params


def read_config(raw: Mapping[str, Any]) -> EncoderConfig:
    """Read an ELECTRA ``config.json``; its published defaults are those of the small model."""
    hidden_size = number(raw, "hidden_size", 256)
    return replace(
        bert.read_config(
            {"num_attention_heads": 4, "intermediate_size": 1024, **raw, "hidden_size": hidden_size}
        ),
        embedding_size=number(raw, "embedding_size", 128),
    )


def encode(
    ops: Ops[A], p: Params[A], config: EncoderConfig, batch: TokenBatch[A], *, only_rows: bool = False
) -> A:
    """Compute the last hidden state from token ids: ``[T, H]``, or ``[R, H]`` for ``batch.rows`` only."""
    x = bert.embed(ops, p / "embeddings", config, batch)
    if config.embedding_size != config.hidden_size:
        x = ops.linear(x, p / "embeddings_project")
    return bert.layers(ops, p / "encoder.layer", config, x, batch, only_rows=only_rows)


def classify(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:  # noqa: ARG001 - one signature for all heads
    """Compute sequence-classification logits: ``[CLS]`` vectors ``[B, H]`` -> ``[B, num_labels]``."""
    p = root / "classifier"
    x = ops.dropout(x, config.classifier_dropout)
    x = ops.tap("classifier.dense", ops.activation("gelu", ops.linear(x, p / "dense")))
    return ops.linear(ops.dropout(x, config.classifier_dropout), p / "out_proj")
