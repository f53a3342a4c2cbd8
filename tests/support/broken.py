"""Checkpoints as a training leaves them that went wrong."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

__all__ = ["with_nan"]


def with_nan(folder: Path, tensor: str) -> Path:
    """Write nan all over a tensor of a saved model; give its folder."""
    weights = load_file(folder / "model.safetensors")
    weights[tensor].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
