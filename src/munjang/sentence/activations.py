"""Activation functions, which turn the logits of a cross-encoder into scores."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.backends import numpy
from munjang.checkpoints import Checkpoint
from munjang.errors import InputError, InputTypeError, UnsupportedModelError
from munjang.sentence.program import TORCH_ACTIVATIONS

Scores: TypeAlias = NDArray[np.float32]
Activation: TypeAlias = Callable[[Any], Any]


def sigmoid(x: Scores) -> Scores:
    """Return the sigmoid of each logit."""
    return np.asarray(numpy.activate("sigmoid", x), dtype=np.float32)


def softmax(x: Scores) -> Scores:
    """Return the softmax over the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)


def log_softmax(x: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithm of the softmax over the last axis, in float64."""
    shifted = x.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _of_each_logit(torch_name: str, name: str) -> Activation:
    def activation(x: Scores) -> Scores:
        return np.asarray(numpy.activate(name, x), dtype=np.float32)

    activation.__name__ = torch_name.lower()  # written by training to the files of a model
    return activation


_ACTIVATIONS: Mapping[str, Activation] = {
    **{published.lower(): _of_each_logit(published, name) for published, name in TORCH_ACTIVATIONS.items()},
    "softmax": softmax,
}


def choose_activation(chosen: str | Activation | None, default: Activation) -> Activation:
    """Return a function by its name, or the function itself; a name may be torch's, with its path.

    Raises `InputError` for an unknown name, `InputTypeError` for neither a name nor a function.
    """
    if chosen is None:
        return default
    if callable(chosen):
        return chosen
    if not isinstance(chosen, str):
        raise InputTypeError(f"activation_fn must be a name or a function, got {chosen!r}.")
    activation = _ACTIVATIONS.get(chosen.rpartition(".")[2].lower())
    if activation is None:
        raise InputError(f"Unknown activation_fn {chosen!r}; there are {', '.join(_ACTIVATIONS)}.")
    return activation


def published_activation(checkpoint: Checkpoint, num_labels: int) -> Activation:
    """Return the function that a model's files name; versions of `sentence-transformers` use three keys.

    The default is the sigmoid for one label and the identity for several. Raises `UnsupportedModelError` for
    an unknown name: `sentence-transformers` warns and uses the default, but then the scores are wrong, and do
    not fit a threshold that was chosen for the right function.
    """
    default = "sigmoid" if num_labels == 1 else "identity"
    name = _published_name(checkpoint)
    if name is None:
        return _ACTIVATIONS[default]
    if not name.startswith("torch.nn.") or name.rpartition(".")[2].lower() not in _ACTIVATIONS:
        raise UnsupportedModelError(
            f"'{checkpoint.name}' names the activation '{name}', which is not supported, so its scores are "
            f"not known. Pass activation_fn: {default!r} is what sentence-transformers uses in its place, "
            "'identity' leaves the logits, and a function of an array does anything else."
        )
    return choose_activation(name, _ACTIVATIONS[default])


def _published_name(checkpoint: Checkpoint) -> str | None:
    settings = {}
    if checkpoint.has("config_sentence_transformers.json"):
        settings = checkpoint.read_json("config_sentence_transformers.json")
    config = checkpoint.config()
    nested = config.get("sentence_transformers")
    name = (
        settings.get("activation_fn")
        or (nested.get("activation_fn") if isinstance(nested, dict) else None)
        or config.get("sbert_ce_default_activation_function")
    )
    return None if name is None else str(name)


def activate(function: Activation, logits: Scores) -> Scores:
    """Apply a function of an array, or of a torch tensor, to logits.

    A function of torch, or one that fails for an array as torch's do, gets a tensor if torch is loaded.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return np.asarray(function(logits), dtype=np.float32)
    if not isinstance(function, torch.nn.Module):
        try:
            return np.asarray(function(logits), dtype=np.float32)
        except (TypeError, AttributeError):
            pass  # torch's functions raise these for an array
    return np.asarray(function(torch.from_numpy(logits)).detach().cpu(), dtype=np.float32)
