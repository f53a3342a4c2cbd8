"""What may follow pooling in a `sentence-transformers` model: dense layers, norms, normalisation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from munjang.errors import CheckpointError, UnsupportedModelError
from munjang.models.config import shown
from munjang.models.ops import A, Ops
from munjang.models.params import Params

__all__ = ["TORCH_ACTIVATIONS", "Module", "read_module"]

Kind = Literal["Dense", "LayerNorm", "Normalize", "Dropout"]

# What torch's classes are called in `munjang.models.ops.ACTIVATIONS`.
TORCH_ACTIVATIONS = {
    "Identity": "linear",
    "Tanh": "tanh",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "GELU": "gelu",
    "SiLU": "silu",
    "Mish": "mish",
    "Sigmoid": "sigmoid",
    "LeakyReLU": "leaky_relu",
    "Hardswish": "hardswish",
}
_LAYER_NORM_EPSILON = 1e-5  # the module's config can't change it


@dataclass(frozen=True, slots=True)
class Module:
    """One step on the pooled vectors.

    Attributes:
        kind: what it does; ``Dropout`` does nothing here.
        prefix: where its tensors stand among the model's.
        activation: a Dense layer's activation.
        residual: whether a Dense layer's input is added to its output.
        config: its ``config.json``, as read.
    """

    kind: Kind
    prefix: str
    activation: str = "linear"
    residual: bool = False
    config: str = "{}"

    def __call__(self, ops: Ops[A], root: Params[A], x: A) -> A:
        """Apply the step: ``[B, in]`` -> ``[B, out]``."""
        p = root / self.prefix
        if self.kind == "Dense":
            return self._dense(ops, p, x)
        if self.kind == "LayerNorm":
            return ops.layer_norm(x, p / "norm", _LAYER_NORM_EPSILON)
        return ops.normalize(x) if self.kind == "Normalize" else x

    def _dense(self, ops: Ops[A], p: Params[A], x: A) -> A:
        y = ops.activation(self.activation, ops.linear(x, p / "linear"))
        if self.residual:  # an input of another width is projected first
            y = y + (ops.linear(x, p / "residual") if "residual.weight" in p else x)
        return y


def read_module(kind: str, prefix: str, config: Mapping[str, Any]) -> Module:
    """Read a module by the class name of ``modules.json`` and its config.

    Raises `UnsupportedModelError` for a module, an activation or a place that we do not have.
    """
    if kind not in get_args(Kind):
        raise UnsupportedModelError(
            f"modules.json: a module of type {shown(kind)} is not supported after pooling; "
            f"supported are {', '.join(get_args(Kind))}."
        )
    for end in ("module_input_name", "module_output_name"):
        if config.get(end) not in (None, "sentence_embedding"):
            raise UnsupportedModelError(f"'{prefix}': {end} {config[end]!r} is not supported.")
    raw = json.dumps(config)
    if kind != "Dense":
        return Module(kind, prefix, config=raw)  # type: ignore[arg-type] # narrowed above
    for name in ("in_features", "out_features"):
        if not isinstance(config.get(name), int):
            raise CheckpointError(f"'{prefix}/config.json' must give in_features and out_features.")
    for name in ("bias", "use_residual"):
        if not isinstance(config.get(name, False), bool):
            raise CheckpointError(f"'{prefix}/config.json': '{name}' must be true or false.")
    return Module("Dense", prefix, _activation(prefix, config), config.get("use_residual", False), raw)


def _activation(prefix: str, config: Mapping[str, Any]) -> str:
    path = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = path.rpartition(".")[2]
    if not path.startswith("torch.nn.") or name not in TORCH_ACTIVATIONS:
        raise UnsupportedModelError(
            f"'{prefix}': the activation {shown(path)} is not supported; "
            f"supported of torch.nn are {', '.join(TORCH_ACTIVATIONS)}."
        )
    return TORCH_ACTIVATIONS[name]
