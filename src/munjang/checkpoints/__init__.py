"""Checkpoints: from a model's name or folder to its configuration, tokenizer files and weights.

Only ``hub.py`` and ``wheels.py`` open a connection, or start a process that does.
"""

from __future__ import annotations

from munjang.checkpoints.folder import Checkpoint
from munjang.checkpoints.opening import open_checkpoint
from munjang.checkpoints.saving import save_weights
from munjang.checkpoints.weights import Weights

__all__ = ["Checkpoint", "Weights", "open_checkpoint", "save_weights"]
