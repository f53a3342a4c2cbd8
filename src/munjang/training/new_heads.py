"""New heads: random initialisation of the tensors that a checkpoint lacks for a task.

Matrices are normally distributed with the config's ``initializer_range`` as standard deviation, biases are 0,
scales of norms are 1, as in BERT (arXiv:1810.04805).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.models.config import EncoderConfig
from munjang.models.params import Params
from munjang.models.registry import (
    MASKED_LM,
    NEXT_SENTENCE,
    QUESTION_ANSWERING,
    RELATION_EXTRACTION,
    SEQUENCE_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
    Architecture,
    architecture_of,
)

__all__ = ["drawn", "published_class", "with_head"]

Tensors: TypeAlias = dict[str, NDArray[Any]]
Shape: TypeAlias = tuple[int, ...]

_PREFIXES = {
    "bert": "Bert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "electra": "Electra",
    "distilbert": "DistilBert",
    "gpt2": "GPT2",
}


def published_class(model_type: str, head: str | None) -> str:
    """Return the class name of such a model in `transformers`, for the config's ``architectures``."""
    architecture = architecture_of({"model_type": model_type})
    ending = "Model" if head is None else architecture.heads[head].published
    return f"{_PREFIXES[model_type]}{ending}"


def with_head(
    raw_config: Mapping[str, Any],
    weights: Mapping[str, NDArray[Any]],
    head: str,
    *,
    labels: Mapping[int, str] | None = None,
    problem_type: str | None = None,
    seed: int = 1,
) -> tuple[dict[str, Any], Tensors]:
    """Return a checkpoint's config and tensors with a head for a task, in the published layout.

    An existing head is kept if it has the same labels. Other heads are left out. Raises `InputError` if the
    architecture has no such head.
    """
    architecture = architecture_of(raw_config)
    if head not in architecture.heads:
        raise InputError(
            f"A model of type '{architecture.model_type}' has no {head} head; "
            f"it can have {', '.join(architecture.heads)}."
        )
    raw = {**raw_config, "architectures": [published_class(architecture.model_type, head)]}
    if labels is not None:
        raw |= {"id2label": {str(i): name for i, name in labels.items()}}
        raw["label2id"] = {name: i for i, name in labels.items()}
        raw.pop("num_labels", None)
    if problem_type is not None:
        raw["problem_type"] = problem_type
    base = _prefixed(architecture, weights)
    wanted = _shapes(architecture, head, architecture.read_config(raw))
    rng = np.random.default_rng([seed, 7])
    same = labels is None or _same_labels(raw_config, raw)
    scale = float(raw.get("initializer_range", 0.02))
    found: Tensors = dict(base)
    for name, shape in wanted.items():
        old = weights.get(name)
        fits = old is not None and tuple(old.shape) == shape and (same or name in base)
        found[name] = old if fits and old is not None else drawn(name, shape, rng, scale)
    return raw, found


def drawn(name: str, shape: Shape, rng: np.random.Generator, scale: float) -> NDArray[np.float32]:
    """Return an initialised tensor: ones for the scale of a norm, zeros for a bias, otherwise normal."""
    if name.endswith("bias"):
        return np.zeros(shape, dtype=np.float32)
    if len(shape) == 1:
        return np.ones(shape, dtype=np.float32)
    return (rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)).astype(np.float32)


def _same_labels(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    def names(raw: Mapping[str, Any]) -> dict[str, str]:
        return {str(i): str(name) for i, name in (raw.get("id2label") or {}).items()}

    return names(old) == names(new)


def _prefixed(architecture: Architecture, weights: Mapping[str, NDArray[Any]]) -> Tensors:
    """Return the encoder's tensors under the prefix that a checkpoint with a head has."""
    prefix = f"{architecture.base_prefix}."
    if architecture.base(Params(weights)).prefix:
        return {name: weights[name] for name in weights if name.startswith(prefix)}
    return {prefix + name: weights[name] for name in weights}


def _shapes(architecture: Architecture, head: str, config: EncoderConfig) -> dict[str, Shape]:
    width, labels = config.hidden_size, config.labels.num_labels
    kind = architecture.model_type
    if head == TOKEN_CLASSIFICATION:
        return _dense("classifier", width, labels)
    if head == QUESTION_ANSWERING:
        return _dense("qa_outputs", width, 2)
    if head == RELATION_EXTRACTION:
        return _dense("relation", 2 * width, labels)
    pooler = _dense(f"{architecture.base_prefix}.pooler.dense", width, width) if kind == "bert" else {}
    if head == NEXT_SENTENCE:
        return {**pooler, **_dense("cls.seq_relationship", width, 2)}
    if head == SEQUENCE_CLASSIFICATION:
        return {**pooler, **_classifier(kind, width, labels)}
    if head == MASKED_LM:
        return _masked_lm(kind, config)
    raise InputError(f"A {head} head can't be begun from nothing.")


def _classifier(kind: str, width: int, labels: int) -> dict[str, Shape]:
    if kind == "bert":
        return _dense("classifier", width, labels)
    if kind == "distilbert":
        return {**_dense("pre_classifier", width, width), **_dense("classifier", width, labels)}
    return {**_dense("classifier.dense", width, width), **_dense("classifier.out_proj", width, labels)}


def _masked_lm(kind: str, config: EncoderConfig) -> dict[str, Shape]:
    """Return the shapes of the masked-LM head; its decoder matrix is that of the word embeddings."""
    dense, norm, bias = {
        "bert": (
            "cls.predictions.transform.dense",
            "cls.predictions.transform.LayerNorm",
            "cls.predictions.bias",
        ),
        "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
        "xlm-roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
        "electra": (
            "generator_predictions.dense",
            "generator_predictions.LayerNorm",
            "generator_lm_head.bias",
        ),
        "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    }[kind]
    width = config.embedding_size if kind == "electra" else config.hidden_size
    return {
        **_dense(dense, config.hidden_size, width),
        f"{norm}.weight": (width,),
        f"{norm}.bias": (width,),
        bias: (config.vocab_size,),
    }


def _dense(name: str, width: int, outputs: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outputs, width), f"{name}.bias": (outputs,)}
