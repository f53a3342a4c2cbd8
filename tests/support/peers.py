"""Small random checkpoints of every architecture, made with the reference implementation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

__all__ = ["ARCHITECTURES", "random_inputs", "random_peer", "reference"]

torch.set_num_threads(1)  # for models this small, more threads only wait for each other

_SMALL = {
    "vocab_size": 67,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,  # large, so that a wrong sign or scale is visible
}
_DISTILBERT = {
    "vocab_size": 67,
    "dim": 32,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 48,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
}

# name -> (config class, settings, encoder class, classifier class)
ARCHITECTURES: Mapping[str, tuple[str, Mapping[str, Any], str, str]] = {
    "bert": ("BertConfig", _SMALL, "BertModel", "BertForSequenceClassification"),
    "bert-relu": (
        "BertConfig",
        {**_SMALL, "hidden_act": "relu", "layer_norm_eps": 1e-5},
        "BertModel",
        "BertForSequenceClassification",
    ),
    "roberta": (
        "RobertaConfig",
        {**_SMALL, "pad_token_id": 1, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
        "RobertaModel",
        "RobertaForSequenceClassification",
    ),
    "roberta-two-types": (
        "RobertaConfig",
        {**_SMALL, "pad_token_id": 1, "type_vocab_size": 2, "hidden_act": "gelu_new"},
        "RobertaModel",
        "RobertaForSequenceClassification",
    ),
    "xlm-roberta": (
        "XLMRobertaConfig",
        {**_SMALL, "pad_token_id": 1, "type_vocab_size": 1},
        "XLMRobertaModel",
        "XLMRobertaForSequenceClassification",
    ),
    "electra": (
        "ElectraConfig",
        {**_SMALL, "embedding_size": 16},
        "ElectraModel",
        "ElectraForSequenceClassification",
    ),
    "electra-wide": (
        "ElectraConfig",
        {**_SMALL, "embedding_size": 32},
        "ElectraModel",
        "ElectraForSequenceClassification",
    ),
    "distilbert": ("DistilBertConfig", _DISTILBERT, "DistilBertModel", "DistilBertForSequenceClassification"),
}


def random_peer(
    architecture: str,
    folder: Path,
    *,
    head: bool = False,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Any:
    """Save a random checkpoint to a folder; return the reference model (in eval mode)."""
    config_class, defaults, encoder, classifier = ARCHITECTURES[architecture]
    config = getattr(transformers, config_class)(**{"num_labels": 3, **defaults, **(settings or {})})
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = getattr(transformers, classifier if head else encoder)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms start as 0 and 1, which would hide mistakes
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    return model


def random_inputs(
    generator: np.random.Generator,
    *,
    texts: int = 5,
    longest: int = 17,
    vocab_size: int = 67,
    random_mask: bool = False,
    pairs: bool = True,
) -> dict[str, NDArray[np.int64]]:
    """Return padded random inputs: lengths differ, some texts are pairs, and masks may have holes."""
    lengths = generator.integers(3, longest + 1, size=texts)
    lengths[0] = longest
    columns = np.arange(longest)
    mask = (columns < lengths[:, None]).astype(np.int64)
    if random_mask:
        mask &= generator.random((texts, longest)) < 0.7
        mask[:, 0] = 1
    ids = generator.integers(4, vocab_size, size=(texts, longest))
    ids = np.where(columns < lengths[:, None], ids, 1)  # 1 is RoBERTa's padding; masked in the others
    second = columns >= generator.integers(1, longest, size=(texts, 1))
    types = (second & (mask == 1) & pairs).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def reference(model: Any, inputs: Mapping[str, NDArray[np.int64]], **wanted: bool) -> dict[str, Any]:
    """Run the reference model; RoBERTa-type models without types and DistilBERT get none."""
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    types = getattr(model.config, "type_vocab_size", 0)
    if model.config.model_type == "distilbert":
        del tensors["token_type_ids"]
    elif types == 1:
        tensors["token_type_ids"] = torch.zeros_like(tensors["token_type_ids"])
    with torch.no_grad():
        return dict(model(**tensors, **wanted))
