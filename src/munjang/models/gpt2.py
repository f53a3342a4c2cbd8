"""GPT-2, with the tensor names of its published checkpoints.

"Language Models are Unsupervised Multitask Learners" (Radford et al., 2019): pre-layer normalisation and
causal attention; the causal mask is in ``attention_bias``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from munjang.errors import UnsupportedModelError
from munjang.models import bert
from munjang.models.batch import TokenBatch
from munjang.models.config import (
    EncoderConfig,
    LabelConfig,
    flag,
    number,
    reject_unsupported,
    shown,
    with_own_names,
)
from munjang.models.ops import A, Ops
from munjang.models.params import Params

_OWN_NAMES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}


def read_config(raw: Mapping[str, Any]) -> EncoderConfig:
    """Read a GPT-2 ``config.json``, which has its own key names."""
    reject_unsupported({**raw, "is_decoder": False})
    for name, published in (
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("reorder_and_upcast_attn", False),
        ("is_causal", True),
    ):
        if raw.get(name, published) != published:
            raise UnsupportedModelError(f"config.json: '{name}' = {shown(raw[name])} is not supported.")
    raw = with_own_names(raw, _OWN_NAMES)
    width = number(raw, "n_embd", 768)
    return EncoderConfig(
        model_type="gpt2",
        vocab_size=number(raw, "vocab_size", 50257),
        hidden_size=width,
        embedding_size=width,
        num_hidden_layers=number(raw, "n_layer", 12),
        num_attention_heads=number(raw, "n_head", 12),
        intermediate_size=number(raw, "n_inner", 4 * width),
        hidden_act=number(raw, "activation_function", "gelu_new"),
        max_position_embeddings=number(raw, "n_positions", 1024),
        type_vocab_size=0,
        causal=True,
        layer_norm_eps=number(raw, "layer_norm_epsilon", 1e-5),
        hidden_dropout_prob=number(raw, "resid_pdrop", 0.1),
        attention_probs_dropout_prob=number(raw, "attn_pdrop", 0.1),
        embedding_dropout_prob=number(raw, "embd_pdrop", 0.1),
        tie_word_embeddings=flag(raw, "tie_word_embeddings", True),
        labels=LabelConfig.from_dict(raw),
    )


def _conv1d(ops: Ops[A], x: A, p: Params[A]) -> A:
    """Compute a linear layer whose matrix is stored transposed: ``[in, out]``."""
    return ops.affine(x, p["weight"], p["bias"], transposed=False)


def layer(
    ops: Ops[A],
    p: Params[A],
    config: EncoderConfig,
    x: A,
    batch: TokenBatch[A],
    *,
    name: str,
    last: bool,
    cached: bool,
) -> A:
    """Compute one layer: ``[T, H]`` -> ``[T, H]``, or ``[R, H]`` if last and only rows are needed."""
    y = ops.layer_norm(x, p / "ln_1", config.layer_norm_eps)
    projected = ops.split(_conv1d(ops, y, p / "attn.c_attn"), 3)
    x, context = bert.attend(ops, projected, config, x, batch, name=name, last=last, cached=cached)
    y = _conv1d(ops, context, p / "attn.c_proj")
    x = ops.tap(f"{name}.attention", x + ops.dropout(y, config.hidden_dropout_prob))
    y = ops.layer_norm(x, p / "ln_2", config.layer_norm_eps)
    y = ops.activation(config.hidden_act, _conv1d(ops, y, p / "mlp.c_fc"))
    y = _conv1d(ops, ops.tap(f"{name}.intermediate", y), p / "mlp.c_proj")
    return ops.tap(name, x + ops.dropout(y, config.hidden_dropout_prob))


def encode(
    ops: Ops[A], p: Params[A], config: EncoderConfig, batch: TokenBatch[A], *, only_rows: bool = False
) -> A:
    """Compute the last hidden state from token ids: ``[T, H]``, or ``[R, H]`` for ``batch.rows`` only."""
    return _encode(ops, p, config, batch, only_rows=only_rows, cached=False)


def encode_cached(
    ops: Ops[A], p: Params[A], config: EncoderConfig, batch: TokenBatch[A], *, only_rows: bool = False
) -> A:
    """Compute the same as `encode`, with attention also over the cached keys and values of the session."""
    return _encode(ops, p, config, batch, only_rows=only_rows, cached=True)


def _encode(
    ops: Ops[A], p: Params[A], config: EncoderConfig, batch: TokenBatch[A], *, only_rows: bool, cached: bool
) -> A:
    word = ops.tap("embeddings.word", ops.rows(p["wte.weight"], batch.input_ids))
    position = ops.tap("embeddings.position", ops.rows(p["wpe.weight"], batch.position_ids))
    x = ops.tap("embeddings", ops.dropout(word + position, config.embedding_dropout_prob))
    for i in range(config.num_hidden_layers):
        last = only_rows and i == config.num_hidden_layers - 1
        x = layer(ops, p / "h" / i, config, x, batch, name=f"layer.{i}", last=last, cached=cached)
    return ops.tap("last_norm", ops.layer_norm(x, p / "ln_f", config.layer_norm_eps))


def language_model(ops: Ops[A], root: Params[A], base: Params[A], config: EncoderConfig, x: A) -> A:
    """Compute a score for every piece as the next token: ``[R, H]`` -> ``[R, vocab_size]``.

    The matrix is tied to the embeddings unless the checkpoint has a separate matrix.
    """
    own = root / "lm_head"
    weight = own.get("weight") if config.tie_word_embeddings else own["weight"]
    return ops.affine(x, base["wte.weight"] if weight is None else weight, None)
