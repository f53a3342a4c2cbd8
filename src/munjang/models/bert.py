"""BERT (arXiv:1810.04805), with the tensor names of its published checkpoints.

MiniLM, TinyBERT, KLUE-BERT and multilingual-e5 are BERTs; RoBERTa and ELECTRA use these functions with
their own embeddings. Names of taps, in the order of computation: ``embeddings.word``, ``.position``,
``.token_type`` and their normalised sum ``embeddings``; in layer 0 ``layer.0.query``, ``.key``, ``.value``,
``layer.0.attention.scores``, ``.probabilities``, ``.context``, ``layer.0.attention``,
``layer.0.intermediate``, and the layer's output ``layer.0``; at the end ``last_hidden_state``,
``pooler_output``, ``classifier.dense`` and ``logits``, if the program computes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig, LabelConfig, check_range, flag, number, reject_unsupported
from munjang.models.ops import A, Ops
from munjang.models.params import Params


def read_config(raw: Mapping[str, Any]) -> EncoderConfig:
    """Read a BERT ``config.json``."""
    reject_unsupported(raw)
    hidden_size = number(raw, "hidden_size", 768)
    type_vocab_size = number(raw, "type_vocab_size", 2)
    check_range("type_vocab_size", type_vocab_size, 1)
    dropout = number(raw, "hidden_dropout_prob", 0.1)
    return EncoderConfig(
        model_type=number(raw, "model_type", "bert"),
        vocab_size=number(raw, "vocab_size", 30522),
        hidden_size=hidden_size,
        embedding_size=hidden_size,
        num_hidden_layers=number(raw, "num_hidden_layers", 12),
        num_attention_heads=number(raw, "num_attention_heads", 12),
        intermediate_size=number(raw, "intermediate_size", 3072),
        hidden_act=number(raw, "hidden_act", "gelu"),
        max_position_embeddings=number(raw, "max_position_embeddings", 512),
        type_vocab_size=type_vocab_size,
        layer_norm_eps=number(raw, "layer_norm_eps", 1e-12),
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=number(raw, "attention_probs_dropout_prob", 0.1),
        classifier_dropout=number(raw, "classifier_dropout", dropout),
        pad_token_id=number(raw, "pad_token_id", 0),
        tie_word_embeddings=flag(raw, "tie_word_embeddings", True),
        labels=LabelConfig.from_dict(raw),
    )


def embed(ops: Ops[A], p: Params[A], config: EncoderConfig, batch: TokenBatch[A]) -> A:
    """Return the normalised sum of the three embeddings of each token: ``[T, embedding_size]``."""
    word = ops.tap("embeddings.word", ops.rows(p["word_embeddings.weight"], batch.input_ids))
    position = ops.tap("embeddings.position", ops.rows(p["position_embeddings.weight"], batch.position_ids))
    token_type = ops.tap(
        "embeddings.token_type", ops.rows(p["token_type_embeddings.weight"], batch.token_type_ids)
    )
    x = ops.layer_norm(word + position + token_type, p / "LayerNorm", config.layer_norm_eps)
    return ops.dropout(x, config.hidden_dropout_prob)


def attend(
    ops: Ops[A],
    projected: Sequence[A],
    config: EncoderConfig,
    x: A,
    batch: TokenBatch[A],
    *,
    name: str,
    last: bool,
    cached: bool = False,
) -> tuple[A, A]:
    """Compute attention inside each text; return ``x`` and the context: ``[T, H]``, or ``[R, H]`` if last.

    ``projected`` are query, key and value, each ``[T, H]``; ``cached`` as in `Ops.attention`.
    """
    parts = zip(("query", "key", "value"), projected, strict=True)
    query, key, value = (ops.tap(f"{name}.{part}", y) for part, y in parts)
    context = ops.attention(
        query,
        key,
        value,
        batch,
        heads=config.num_attention_heads,
        dropout=config.attention_probs_dropout_prob,
        name=f"{name}.attention",
        cached=cached,
    )
    if last:
        x, context = ops.rows(x, batch.rows), ops.rows(context, batch.rows)
    return x, ops.tap(f"{name}.attention.context", context)


def layer(
    ops: Ops[A], p: Params[A], config: EncoderConfig, x: A, batch: TokenBatch[A], *, name: str, last: bool
) -> A:
    """Compute one encoder layer: ``[T, H]`` -> ``[T, H]``, or ``[R, H]`` if last and only rows are needed."""
    attention = p / "attention"
    projected = [ops.linear(x, attention / "self" / part) for part in ("query", "key", "value")]
    x, context = attend(ops, projected, config, x, batch, name=name, last=last)
    y = ops.linear(context, attention / "output.dense")
    y = ops.dropout(y, config.hidden_dropout_prob)
    x = ops.layer_norm(y + x, attention / "output.LayerNorm", config.layer_norm_eps)
    x = ops.tap(f"{name}.attention", x)
    y = ops.activation(config.hidden_act, ops.linear(x, p / "intermediate.dense"))
    y = ops.linear(ops.tap(f"{name}.intermediate", y), p / "output.dense")
    y = ops.dropout(y, config.hidden_dropout_prob)
    return ops.tap(name, ops.layer_norm(y + x, p / "output.LayerNorm", config.layer_norm_eps))


def layers(
    ops: Ops[A], p: Params[A], config: EncoderConfig, x: A, batch: TokenBatch[A], *, only_rows: bool
) -> A:
    """Compute all encoder layers in order; ``p`` is the view on ``encoder.layer``."""
    x = ops.tap("embeddings", x)
    for i in range(config.num_hidden_layers):
        last = only_rows and i == config.num_hidden_layers - 1
        x = layer(ops, p / i, config, x, batch, name=f"layer.{i}", last=last)
    return x


def encode(
    ops: Ops[A], p: Params[A], config: EncoderConfig, batch: TokenBatch[A], *, only_rows: bool = False
) -> A:
    """Compute the last hidden state from token ids: ``[T, H]``, or ``[R, H]`` for ``batch.rows`` only."""
    x = embed(ops, p / "embeddings", config, batch)
    return layers(ops, p / "encoder.layer", config, x, batch, only_rows=only_rows)


def pool(ops: Ops[A], p: Params[A], first: A) -> A:
    """Compute the pooler output from the first token's vector of each text: ``[B, H]`` -> ``[B, H]``."""
    return ops.tap("pooler_output", ops.activation("tanh", ops.linear(first, p / "pooler.dense")))


def classify(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:
    """Compute sequence-classification logits: first-token vectors ``[B, H]`` -> ``[B, num_labels]``."""
    pooled = ops.dropout(pool(ops, base, x), config.classifier_dropout)
    return ops.linear(pooled, root / "classifier")
