"""Checkpoints: find a model by name or folder and read its configuration, tokenizer files and weights.

Only ``hub.py`` and ``wheels.py`` open a connection, or start a process that does.
"""

from __future__ import annotations

from munjang.checkpoints.catalogue import DEFAULT_MODEL
from munjang.checkpoints.folder import Checkpoint
from munjang.checkpoints.library import ModelInfo, get_model, list_models, remove_model
from munjang.checkpoints.names import open_checkpoint
from munjang.checkpoints.saving import save_weights
from munjang.checkpoints.settings import FetchArguments, FetchOptions, OpenArguments, OpenOptions, cache_root
from munjang.checkpoints.weights import Weights

__all__ = [
    "DEFAULT_MODEL",
    "Checkpoint",
    "FetchArguments",
    "FetchOptions",
    "ModelInfo",
    "OpenArguments",
    "OpenOptions",
    "Weights",
    "cache_root",
    "get_model",
    "list_models",
    "open_checkpoint",
    "remove_model",
    "save_weights",
]
