"""DistilBERT (arXiv:1910.01108), with the tensor names of its published checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from munjang.models import bert
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig, LabelConfig, flag, number, reject_unsupported, with_own_names
from munjang.models.ops import A, Ops
from munjang.models.params import Params

_OWN_NAMES = {"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"}
_LAYER_NORM_EPS = 1e-12  # fixed in the architecture, not in the config


def read_config(raw: Mapping[str, Any]) -> EncoderConfig:
    """Read a DistilBERT ``config.json``, which has its own key names."""
    reject_unsupported(raw)
    raw = with_own_names(raw, _OWN_NAMES)
    hidden_size = number(raw, "dim", 768)
    return EncoderConfig(
        model_type="distilbert",
        vocab_size=number(raw, "vocab_size", 30522),
        hidden_size=hidden_size,
        embedding_size=hidden_size,
        num_hidden_layers=number(raw, "n_layers", 6),
        num_attention_heads=number(raw, "n_heads", 12),
        intermediate_size=number(raw, "hidden_dim", 3072),
        hidden_act=number(raw, "activation", "gelu"),
        max_position_embeddings=number(raw, "max_position_embeddings", 512),
        type_vocab_size=0,
        layer_norm_eps=_LAYER_NORM_EPS,
        hidden_dropout_prob=number(raw, "dropout", 0.1),
        attention_probs_dropout_prob=number(raw, "attention_dropout", 0.1),
        classifier_dropout=number(raw, "seq_classif_dropout", 0.2),
        pad_token_id=number(raw, "pad_token_id", 0),
        tie_word_embeddings=flag(raw, "tie_word_embeddings", True),
        labels=LabelConfig.from_dict(raw),
    )


def embed(ops: Ops[A], p: Params[A], config: EncoderConfig, batch: TokenBatch[A]) -> A:
    """Return the normalised sum of the two embeddings of each token: ``[T, H]``."""
    word = ops.tap("embeddings.word", ops.rows(p["word_embeddings.weight"], batch.input_ids))
    position = ops.tap("embeddings.position", ops.rows(p["position_embeddings.weight"], batch.position_ids))
    x = ops.layer_norm(word + position, p / "LayerNorm", config.layer_norm_eps)
    return ops.dropout(x, config.hidden_dropout_prob)


def layer(
    ops: Ops[A], p: Params[A], config: EncoderConfig, x: A, batch: TokenBatch[A], *, name: str, last: bool
) -> A:
    """Compute one encoder layer: ``[T, H]`` -> ``[T, H]``, or ``[R, H]`` if last and only rows are needed."""
    attention = p / "attention"
    projected = [ops.linear(x, attention / part) for part in ("q_lin", "k_lin", "v_lin")]
    x, context = bert.attend(ops, projected, config, x, batch, name=name, last=last)
    y = ops.linear(context, attention / "out_lin")
    x = ops.tap(f"{name}.attention", ops.layer_norm(y + x, p / "sa_layer_norm", config.layer_norm_eps))
    y = ops.activation(config.hidden_act, ops.linear(x, p / "ffn.lin1"))
    y = ops.linear(ops.tap(f"{name}.intermediate", y), p / "ffn.lin2")
    y = ops.dropout(y, config.hidden_dropout_prob)
    return ops.tap(name, ops.layer_norm(y + x, p / "output_layer_norm", config.layer_norm_eps))


def encode(
    ops: Ops[A], p: Params[A], config: EncoderConfig, batch: TokenBatch[A], *, only_rows: bool = False
) -> A:
    """Compute the last hidden state from token ids: ``[T, H]``, or ``[R, H]`` for ``batch.rows`` only."""
    x = ops.tap("embeddings", embed(ops, p / "embeddings", config, batch))
    for i in range(config.num_hidden_layers):
        last = only_rows and i == config.num_hidden_layers - 1
        x = layer(ops, p / "transformer.layer" / i, config, x, batch, name=f"layer.{i}", last=last)
    return x


def classify(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:  # noqa: ARG001 - one signature for all heads
    """Compute sequence-classification logits: ``[CLS]`` vectors ``[B, H]`` -> ``[B, num_labels]``."""
    x = ops.tap("classifier.dense", ops.activation("relu", ops.linear(x, root / "pre_classifier")))
    return ops.linear(ops.dropout(x, config.classifier_dropout), root / "classifier")
