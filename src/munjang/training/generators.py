"""The two models of replaced-token detection (arXiv:2003.10555): ELECTRA, and the small one that guesses.

The generator's embeddings are the discriminator's; what else it has stands under ``generator/`` among the
tensors that learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.program import LOGITS
from munjang.models.registry import MASKED_LM, Architecture
from munjang.training.new_heads import Tensors, drawn, with_head
from munjang.training.new_models import new_encoder

__all__ = [
    "check_generator",
    "generator_config",
    "generator_tensors",
    "of_generator",
    "with_discriminator",
]

_HEAD = "discriminator_predictions"
_PREFIX = "generator/"
_SHARED = "electra.embeddings."
_KIND = "electra"
T = TypeVar("T")


@dataclass(frozen=True)
class GeneratorProgram:
    """The generator up to the scores of the hidden places, with the discriminator's embeddings."""

    architecture: Architecture
    config: EncoderConfig

    @property
    def taps(self) -> frozenset[str]:
        """Nothing beside the outputs."""
        return frozenset()

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Score the vocabulary at ``batch.rows``: ``[M, V]``."""
        own = Params(of_generator(root.tensors))
        base = self.architecture.base(own)
        x = self.architecture.encode(ops, base, self.config, batch, only_rows=True)
        return {LOGITS: self.architecture.heads[MASKED_LM].function(ops, own, base, self.config, x)}


@dataclass(frozen=True)
class DiscriminatorProgram:
    """The discriminator up to one score for each of ``batch.rows``: high for a replaced token."""

    architecture: Architecture
    config: EncoderConfig

    @property
    def taps(self) -> frozenset[str]:
        """Nothing beside the outputs."""
        return frozenset()

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Score tokens: ``[N, 1]``."""
        base = self.architecture.base(root)
        x = self.architecture.encode(ops, base, self.config, batch, only_rows=True)
        x = ops.activation(self.config.hidden_act, ops.linear(x, root / _HEAD / "dense"))
        return {LOGITS: ops.linear(x, root / _HEAD / "dense_prediction")}


def generator_config(raw_config: Mapping[str, Any], *, size: float = 0.25) -> dict[str, Any]:
    """Write the config of a generator: so many times the heads and the width of the large model.

    The width of a head and of the embeddings, and the number of layers, stay. Raises `InputError` for a size
    outside 0 to 1.
    """
    if not 0 < size <= 1:
        raise InputError(f"generator_size must be above 0 and at most 1, got {size}.")
    width, heads = int(raw_config["hidden_size"]), int(raw_config["num_attention_heads"])
    fewer = max(1, round(heads * size))
    return {
        **raw_config,
        "hidden_size": width // heads * fewer,
        "num_attention_heads": fewer,
        "intermediate_size": max(1, int(raw_config["intermediate_size"]) * fewer // heads),
    }


def generator_tensors(
    raw_config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]] | None, *, seed: int
) -> tuple[dict[str, Any], Tensors]:
    """Give the config and the tensors of a generator without the shared embeddings, under ``generator/``.

    Without weights it begins from nothing.
    """
    start = new_encoder(raw_config, seed=seed + 1) if weights is None else weights
    raw, tensors = with_head(raw_config, start, MASKED_LM, seed=seed)
    own = {_PREFIX + name: value for name, value in tensors.items() if not name.startswith(_SHARED)}
    return raw, own


def of_generator(tensors: Mapping[str, T]) -> dict[str, T]:
    """Find the generator's tensors, by their published names, among both models'."""
    shared = {name: tensors[name] for name in tensors if name.startswith(_SHARED)}
    return shared | {
        name.removeprefix(_PREFIX): tensors[name] for name in tensors if name.startswith(_PREFIX)
    }


def with_discriminator(
    raw_config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]] | None, *, seed: int
) -> tuple[dict[str, Any], Tensors]:
    """Give a config and tensors with the head that says which tokens were replaced; a new one if need be.

    Raises `InputError` for a model that is no ELECTRA.
    """
    kind = raw_config.get("model_type")
    if kind != _KIND:
        raise InputError(
            f"Replaced tokens are learned by a model of type 'electra', not '{kind}'; choose another model "
            "or objective='masked'."
        )
    start = new_encoder(raw_config, seed=seed) if weights is None else weights
    bare = not any(name.startswith(f"{_KIND}.") for name in start)
    encoder: Tensors = {
        f"{_KIND}.{name}" if bare else name: start[name]
        for name in start
        if bare or name.startswith(f"{_KIND}.")
    }
    width = int(encoder[f"{_KIND}.encoder.layer.0.output.dense.bias"].shape[0])
    rng = np.random.default_rng([seed, 13])
    scale = float(raw_config.get("initializer_range", 0.02))
    head: Tensors = {}
    for name, shape in _head(width).items():
        old = start.get(name)
        head[name] = drawn(name, shape, rng, scale) if old is None else old
    return {**raw_config, "architectures": ["ElectraForPreTraining"]}, {**encoder, **head}


def check_generator(generator: EncoderConfig, discriminator: EncoderConfig) -> None:
    """Raise `InputError` unless two models can share their embeddings."""
    for name in ("vocab_size", "embedding_size", "max_position_embeddings", "type_vocab_size"):
        one, other = getattr(generator, name), getattr(discriminator, name)
        if one != other:
            raise InputError(
                f"The generator's {name} is {one}, the discriminator's {other}; they must share their "
                "embeddings."
            )


def _head(width: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{_HEAD}.dense.weight": (width, width),
        f"{_HEAD}.dense.bias": (width,),
        f"{_HEAD}.dense_prediction.weight": (1, width),
        f"{_HEAD}.dense_prediction.bias": (1,),
    }
