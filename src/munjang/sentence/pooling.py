"""From a text's token vectors to one vector, the ways that `sentence-transformers` defines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.models.batch import TokenBatch
from munjang.models.ops import A, Ops

__all__ = ["POOLING_MODES", "Pooling"]

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
POOLER = "pooler"  # ours: the model's own pooler output, for a plain BERT checkpoint

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
    """One way of pooling, or several joined end to end.

    Attributes:
        modes: of `POOLING_MODES`, or ``("pooler",)`` alone.
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
        """Make a pooling from one mode or several; `InputError` for one that there is not."""
        if not isinstance(mode, str | list | tuple):
            raise InputTypeError(f"pooling must be a name or a tuple of names, got {mode!r}.")
        return cls(tuple(mode.split("+") if isinstance(mode, str) else mode))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Pooling:
        """Read a ``1_Pooling/config.json``, of today's form or of the older one with a flag per mode.

        Raises `InputError` for a mode that there is not.
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
        """Write a ``1_Pooling/config.json``, in the older form if it can say it, which every version reads.

        The older form has a flag per mode, so it knows one order only.
        """
        config: dict[str, Any] = {"word_embedding_dimension": width}
        if tuple(mode for mode in _FLAGS.values() if mode in self.modes) == self.modes:
            config |= {flag: mode in self.modes for flag, mode in _FLAGS.items()}
        else:
            config["pooling_mode"] = list(self.modes)
        return config if self.include_prompt else {**config, "include_prompt": False}

    @property
    def only_rows(self) -> bool:
        """Whether one row per text is all that pooling needs, so the last layer can run on it alone."""
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
        # A text with nothing but a prompt keeps it: there must be something to pool.
        chosen = is_token & ((columns >= skipped) | (lengths <= skipped))
        if self.only_rows:
            place = columns[None, :] == (lengths - 1) if self.modes == ("lasttoken",) else _first(chosen)
            return replace(batch, rows=batch.pad_index[place].astype(np.int32))
        weights = np.stack([_weights(mode, chosen, lengths) for mode in self.modes], axis=1)
        return replace(batch, pool_weights=weights.astype(np.float32))


def _first(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the first chosen cell of each text."""
    first: NDArray[np.bool_] = chosen & (np.cumsum(chosen, axis=1) == 1)
    return first


def _weights(mode: str, chosen: NDArray[np.bool_], lengths: NDArray[np.integer]) -> NDArray[Any]:
    """The weight of each cell, ``[B, L]``, that makes a weighted sum of the rows the pooled vector."""
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
