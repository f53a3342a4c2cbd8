"""Opening a model and its tokenizer for a task."""

from __future__ import annotations

import os
from dataclasses import dataclass

from munjang.checkpoints import open_checkpoint
from munjang.runtime.model import Model
from munjang.tokenization import Tokenizer

__all__ = ["Loaded", "ModelOptions", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """How to open a model; the names and defaults of `Model.from_pretrained`."""

    backend: str = "openvino"
    threads: int | None = None
    streams: int | None = None
    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    token: str | None = None
    offline: bool | None = None
    allow_pickle: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with the tokenizer that belongs to it."""

    model: Model
    tokenizer: Tokenizer

    @property
    def max_length(self) -> int:
        """The longest input in tokens, special tokens included."""
        return min(self.tokenizer.model_max_length, self.model.config.max_length)


def load(
    model: str | os.PathLike[str] | Loaded, head: str | None, options: ModelOptions | None = None
) -> Loaded:
    """Open a model by name for a head (``None``: the bare encoder); an open one is taken as it is.

    Raises what `Model.from_pretrained` raises.
    """
    if isinstance(model, Loaded):
        return model
    chosen = options or ModelOptions()
    checkpoint = open_checkpoint(
        model,
        revision=chosen.revision,
        cache_dir=chosen.cache_dir,
        token=chosen.token,
        offline=chosen.offline,
        allow_pickle=chosen.allow_pickle,
    )
    opened = Model.from_checkpoint(
        checkpoint, head, backend=chosen.backend, threads=chosen.threads, streams=chosen.streams
    )
    return Loaded(opened, Tokenizer.from_checkpoint(checkpoint))
