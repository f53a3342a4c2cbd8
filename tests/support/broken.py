"""Checkpoints as a failed training run leaves them."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

__all__ = ["with_nan"]


def with_nan(folder: Path, tensor: str) -> Path:
    """Fill a tensor of a saved model with NaN; return the model's folder."""
    weights = load_file(folder / "model.safetensors")
    weights[tensor].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
