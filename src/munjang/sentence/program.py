"""From token ids to sentence vectors as one computation: encoder, pooling and the modules after it.

Pooling and modules are those of `sentence-transformers`; all run in one graph with the encoder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from munjang.errors import CheckpointError, InputError, InputTypeError, UnsupportedModelError
from munjang.models.batch import TokenBatch
from munjang.models.config import shown
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.program import LAST_HIDDEN_STATE, POOLER_OUTPUT, ModelProgram

SENTENCE_EMBEDDING: Final = "sentence_embedding"  # [B, d]
TOKEN_EMBEDDINGS: Final = "token_embeddings"  # [T, H]  # noqa: S105 - not a password
POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
POOLER = "pooler"  # an addition: the model's own pooler output, for a plain BERT checkpoint

# The flags of older config files, in the order in which several are joined.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_KEYS = {"pooling_mode", "include_prompt", "embedding_dimension", "word_embedding_dimension"}


@dataclass(frozen=True, slots=True)
class Pooling:
    """A pooling mode, or several whose results are concatenated.

    Attributes:
        modes: names of `POOLING_MODES`, or only ``("pooler",)``.
        include_prompt: whether a prompt's tokens count.
    """

    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True

    def __post_init__(self) -> None:
        unknown = [mode for mode in self.modes if mode not in (*POOLING_MODES, POOLER)]
        if unknown or not self.modes or (POOLER in self.modes and len(self.modes) > 1):
            raise InputError(
                f"Unknown pooling {'+'.join(map(str, self.modes))!r}; there are "
                f"{', '.join((*POOLING_MODES, POOLER))}; all but the last can be combined, as in mean+max."
            )

    @classmethod
    def of(cls, mode: str | Sequence[str]) -> Pooling:
        """Create a pooling from one mode or several; `InputError` for an unknown mode."""
        if not isinstance(mode, str | list | tuple):
            raise InputTypeError(f"pooling must be a name or a tuple of names, got {mode!r}.")
        return cls(tuple(mode.split("+") if isinstance(mode, str) else mode))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pooling:
        """Read a ``1_Pooling/config.json``, in the current form or in the older form with a flag per mode.

        Raises `InputError` for an unknown mode.
        """
        unknown = config.keys() - _KEYS - _FLAGS.keys()
        if unknown:
            raise InputError(f"Pooling by {', '.join(sorted(unknown))} is not supported.")
        if not isinstance(config.get("include_prompt", True), bool):
            raise InputTypeError(f"include_prompt must be true or false, got {config['include_prompt']!r}.")
        modes = config.get("pooling_mode")
        if modes is None:
            modes = [mode for flag, mode in _FLAGS.items() if config.get(flag)] or ["mean"]
        modes = tuple(modes) if isinstance(modes, list) else (modes,)
        return cls(modes, config.get("include_prompt", True))

    def to_config(self, width: int) -> dict[str, Any]:
        """Write a ``1_Pooling/config.json``, in the older form if possible, because every version reads it.

        The older form has a flag per mode, so it has only one order of modes.
        """
        config: dict[str, Any] = {"word_embedding_dimension": width}
        if tuple(mode for mode in _FLAGS.values() if mode in self.modes) == self.modes:
            config |= {flag: mode in self.modes for flag, mode in _FLAGS.items()}
        else:
            config["pooling_mode"] = list(self.modes)
        return config if self.include_prompt else {**config, "include_prompt": False}

    @property
    def only_rows(self) -> bool:
        """Whether pooling needs only one row per text, so that the last layer can run on it alone."""
        return self.modes in (("cls",), ("lasttoken",), (POOLER,))

    def __call__(self, ops: Ops[A], x: A, batch: TokenBatch[A]) -> A:
        """Pool packed rows: ``[T, H]`` -> ``[B, H * len(modes)]``; with `only_rows`, ``x`` is the result."""
        if self.only_rows:
            return x
        parts = [
            ops.pool(x, batch, "max" if mode == "max" else "sum", i) for i, mode in enumerate(self.modes)
        ]
        return parts[0] if len(parts) == 1 else ops.concat(parts)

    def prepare(self, batch: TokenBatch[NDArray[Any]], prompt_length: int) -> TokenBatch[NDArray[Any]]:
        """Set the rows or the weights that this pooling reads; ``prompt_length`` tokens may be left out."""
        skipped = 0 if self.include_prompt else prompt_length
        if self.modes in (("mean",), ("cls",), (POOLER,)) and not skipped:
            return batch  # as packed
        is_token = batch.attention_bias[:, 0, 0, :] == 0  # [B, L]
        lengths = is_token.sum(axis=1, keepdims=True)
        columns = np.arange(is_token.shape[1])
        # A text that is only a prompt keeps its rows: pooling needs at least one.
        chosen = is_token & ((columns >= skipped) | (lengths <= skipped))
        if self.only_rows:
            cell = columns[None, :] == (lengths - 1) if self.modes == ("lasttoken",) else _first(chosen)
            return replace(batch, rows=batch.pad_index[cell].astype(np.int32))
        weights = np.stack([_weights(mode, chosen, lengths) for mode in self.modes], axis=1)
        return replace(batch, pool_weights=weights.astype(np.float32))


def _first(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the first chosen cell of each text."""
    first: NDArray[np.bool_] = chosen & (np.cumsum(chosen, axis=1) == 1)
    return first


def _weights(mode: str, chosen: NDArray[np.bool_], lengths: NDArray[np.integer]) -> NDArray[Any]:
    """Return the weights of the cells, ``[B, L]``; the weighted sum of the rows is the pooled vector."""
    counts = chosen.sum(axis=1, keepdims=True)
    columns = np.arange(chosen.shape[1])
    positions = chosen * (columns + 1.0)
    weights: dict[str, NDArray[Any]] = {
        "cls": _first(chosen),
        "max": chosen,
        "mean": chosen / counts,
        "mean_sqrt_len_tokens": chosen / np.sqrt(counts),
        "weightedmean": positions / positions.sum(axis=1, keepdims=True),  # arXiv:2202.08904
        "lasttoken": columns == lengths - 1,
    }
    return weights[mode]


Kind = Literal["Dense", "LayerNorm", "Normalize", "Dropout"]

# The names of torch's classes in `munjang.models.ops.ACTIVATIONS`.
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
    """A module that is applied to the pooled vectors.

    Attributes:
        kind: its class; ``Dropout`` does nothing here.
        prefix: of the names of its tensors.
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

    Raises `UnsupportedModelError` for an unsupported module, activation, input or output.
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
            raise CheckpointError(f"'{prefix}/config.json' must have in_features and out_features.")
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


@dataclass(frozen=True)
class SentenceProgram:
    """Token ids to sentence vectors, and to token vectors if ``tokens`` is set."""

    model: ModelProgram
    pooling: Pooling
    modules: tuple[Module, ...]
    tokens: bool = False

    def __hash__(self) -> int:
        return hash((self.pooling, self.modules, self.tokens))  # the programs of one runner have one encoder

    @property
    def taps(self) -> frozenset[str]:
        """Nothing beside the outputs."""
        return frozenset()

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Compute ``sentence_embedding`` and, with ``tokens``, ``token_embeddings``."""
        model = self.model
        base = model.architecture.base(root)
        only_rows = self.pooling.only_rows and not self.tokens
        x = model.architecture.encode(ops, base, model.config, batch, only_rows=only_rows)
        outputs = {TOKEN_EMBEDDINGS: x} if self.tokens else {}
        if self.pooling.only_rows and self.tokens:
            x = ops.rows(x, batch.rows)  # every row is an output, but pooling needs few of them
        pooled = self._pool(ops, base, x, batch)
        for module in self.modules:
            pooled = module(ops, root, pooled)
        return {**outputs, SENTENCE_EMBEDDING: pooled}

    def _pool(self, ops: Ops[A], base: Params[A], x: A, batch: TokenBatch[A]) -> A:
        if self.pooling.modes == (POOLER,) and self.model.architecture.pool is not None:
            return self.model.architecture.pool(ops, base, x)
        return self.pooling(ops, x, batch)


def model_outputs(pooling: Pooling) -> frozenset[str]:
    """Return the outputs of the encoder that a pooling needs."""
    return frozenset({POOLER_OUTPUT if pooling.modes == (POOLER,) else LAST_HIDDEN_STATE})
