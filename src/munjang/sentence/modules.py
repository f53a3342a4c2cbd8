"""What may follow pooling in a `sentence-transformers` model: dense layers, norms, normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from munjang.errors import CheckpointError, UnsupportedModelError
from munjang.models.ops import A, Ops
from munjang.models.params import Params

__all__ = ["Module", "read_module"]

Kind = Literal["Dense", "LayerNorm", "Normalize", "Dropout"]

_ACTIVATIONS = {
    "Identity": "linear",
    "Tanh": "tanh",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "GELU": "gelu",
    "SiLU": "silu",
    "Mish": "mish",
    "Sigmoid": "sigmoid",
}


@dataclass(frozen=True, slots=True)
class Module:
    """One step on the pooled vectors.

    Attributes:
        kind: what it does; ``Dropout`` does nothing here.
        prefix: where its tensors stand among the model's.
        activation: a Dense layer's activation.
        config: its ``config.json``, as read.
    """

    kind: Kind
    prefix: str
    activation: str = "linear"
    config: str = "{}"

    def __call__(self, ops: Ops[A], root: Params[A], x: A) -> A:
        """Apply the step: ``[B, in]`` -> ``[B, out]``."""
        p = root / self.prefix
        if self.kind == "Dense":
            return ops.activation(self.activation, ops.linear(x, p / "linear"))
        if self.kind == "LayerNorm":
            return ops.layer_norm(x, p / "norm", 1e-5)
        return ops.normalize(x) if self.kind == "Normalize" else x


def read_module(type_name: str, prefix: str, config: Mapping[str, Any], raw: str) -> Module:
    """Read a module by the class name of ``modules.json`` and its config.

    Raises `UnsupportedModelError` for a module or an activation that we do not have.
    """
    kind = type_name.rpartition(".")[2]
    if kind not in ("Dense", "LayerNorm", "Normalize", "Dropout"):
        raise UnsupportedModelError(f"modules.json: a module of type '{type_name}' is not supported.")
    if kind != "Dense":
        return Module(kind, prefix, config=raw)  # type: ignore[arg-type] # narrowed above
    for end in ("module_input_name", "module_output_name"):
        if config.get(end, "sentence_embedding") != "sentence_embedding":
            raise UnsupportedModelError(
                f"{prefix}: a Dense module with {end} {config[end]!r} is not supported."
            )
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise UnsupportedModelError(f"{prefix}: the activation '{name}' is not supported.")
    if not isinstance(config.get("in_features"), int) or not isinstance(config.get("out_features"), int):
        raise CheckpointError(f"{prefix}/config.json must give in_features and out_features.")
    return Module("Dense", prefix, _ACTIVATIONS[name], raw)
