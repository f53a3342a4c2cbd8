"""New models for pre-training from scratch: the config and randomly initialised tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.models.config import EncoderConfig
from munjang.models.registry import architecture_of
from munjang.tokenization import Tokenizer
from munjang.training.new_heads import drawn

__all__ = ["new_config", "new_encoder"]

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
        raise InputError(f"A model of type {model_type!r} can't be begun; there are {', '.join(_KINDS)}.")
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


def new_encoder(raw_config: Mapping[str, Any], *, seed: int = 1) -> dict[str, NDArray[np.float32]]:
    """Return initialised tensors of an encoder, as for BERT (arXiv:1810.04805): normal, biases 0, norms 1."""
    architecture = architecture_of(raw_config)
    config = architecture.read_config(raw_config)
    rng = np.random.default_rng([seed, 3])
    scale = float(raw_config.get("initializer_range", 0.02))
    shapes = _embeddings(config)
    for i in range(config.num_hidden_layers):
        shapes |= {f"encoder.layer.{i}.{name}": shape for name, shape in _layer(config).items()}
    return {
        f"{architecture.base_prefix}.{name}": drawn(name, shape, rng, scale) for name, shape in shapes.items()
    }


def _embeddings(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    width = config.embedding_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab_size, width),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, width),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, width),
        **_norm("embeddings.LayerNorm", width),
    }
    if config.embedding_size != config.hidden_size:
        shapes |= _dense("embeddings_project", width, config.hidden_size)
    return shapes


def _layer(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    width, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {}
    for part in ("query", "key", "value"):
        shapes |= _dense(f"attention.self.{part}", width, width)
    return (
        shapes
        | _dense("attention.output.dense", width, width)
        | _norm("attention.output.LayerNorm", width)
        | _dense("intermediate.dense", width, inner)
        | _dense("output.dense", inner, width)
        | _norm("output.LayerNorm", width)
    )


def _dense(name: str, width: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, width), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
