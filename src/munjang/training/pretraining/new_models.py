"""The config of a new model, for pre-training from scratch."""

from __future__ import annotations

from typing import Any

from munjang.errors import InputError
from munjang.tokenization import Tokenizer

_KINDS = ("bert", "electra", "roberta")


def new_config(
    tokenizer: Tokenizer,
    *,
    model_type: str = "bert",
    layers: int = 12,
    width: int = 768,
    heads: int | None = None,
    intermediate: int | None = None,
    max_length: int = 512,
    dropout: float = 0.1,
) -> dict[str, Any]:
    """Return the content of ``config.json`` of a new model for a tokenizer's vocabulary.

    ``heads`` is by default ``width // 64``, ``intermediate`` four times the width. Raises `InputError` for an
    unsupported model type.
    """
    if model_type not in _KINDS:
        raise InputError(f"A new model can't be of type {model_type!r}; there are {', '.join(_KINDS)}.")
    first = (tokenizer.pad_token_id or 0) + 1 if model_type == "roberta" else 0
    raw: dict[str, Any] = {
        "model_type": model_type,
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads or max(1, width // 64),
        "intermediate_size": intermediate or 4 * width,
        "hidden_act": "gelu",
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "max_position_embeddings": max_length + first,
        "type_vocab_size": 1 if model_type == "roberta" else 2,
        "layer_norm_eps": 1e-12,
        "initializer_range": 0.02,
        "pad_token_id": tokenizer.pad_token_id or 0,
    }
    return raw | ({"embedding_size": min(width, 128)} if model_type == "electra" else {})
