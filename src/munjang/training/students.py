"""Students: smaller models that begin with some of the layers of a larger one, as DistilBERT did."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError, UnsupportedModelError
from munjang.models.params import Params
from munjang.models.registry import Architecture, architecture_of
from munjang.runtime.model import Model
from munjang.training.opened import open_model
from munjang.training.output import check_empty

__all__ = ["choose_layers", "make_student", "spread", "student_tensors"]

_BERT_LIKE = ("encoder.layer.", "num_hidden_layers")
# Where the layers' tensors stand under the encoder's prefix, and the config's key of how many there are.
_LAYERS: Mapping[str, tuple[str, str]] = {
    "bert": _BERT_LIKE,
    "roberta": _BERT_LIKE,
    "xlm-roberta": _BERT_LIKE,
    "electra": _BERT_LIKE,
    "distilbert": ("transformer.layer.", "n_layers"),
}


def spread(count: int, of: int) -> tuple[int, ...]:
    """Choose ``count`` of ``of`` layers, evenly spread, the first and the last among them.

    6 of 12 are ``(0, 2, 4, 7, 9, 11)``; a single layer is the first.
    """
    if count == 1:
        return (0,)
    return tuple((2 * i * (of - 1) + count - 1) // (2 * (count - 1)) for i in range(count))


def choose_layers(layers: int | Sequence[int], of: int) -> tuple[int, ...]:
    """Check a choice of a teacher's layers, from 0 on; a number of layers is spread as `spread` does.

    Raises `InputError` for none, for more than the teacher's ``of``, for numbers out of range and for any
    order but the teacher's; `InputTypeError` for anything but whole numbers.
    """
    if not isinstance(layers, int | list | tuple | range) or isinstance(layers, bool):
        raise InputTypeError(f"layers must be a number of layers or a list of them, got {layers!r}.")
    if isinstance(layers, int):
        if not 1 <= layers <= of:
            raise InputError(f"A student can have 1 to {of} of the teacher's {of} layers, got {layers}.")
        return spread(layers, of)
    for layer in layers:
        if not isinstance(layer, int) or isinstance(layer, bool):
            raise InputTypeError(f"layers must be whole numbers, got {layer!r}.")
        if not 0 <= layer < of:
            raise InputError(f"The teacher has layers 0 to {of - 1}, got {layer}.")
    if not layers or any(a >= b for a, b in pairwise(layers)):
        raise InputError(f"layers must be in the teacher's order, each once, got {list(layers)}.")
    return tuple(layers)


def student_tensors(
    raw_config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]], layers: Sequence[int]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Give the config and the tensors of a model that has only these layers, renumbered from 0 on.

    Everything else is the teacher's: embeddings, pooler, head, modules (arXiv:1910.01108, section 3).
    Raises `UnsupportedModelError` for a model that is no encoder.
    """
    architecture = architecture_of(raw_config)
    place, key = _layers_of(architecture)
    prefix = architecture.base(Params(weights)).prefix + place
    new = {str(old): str(number) for number, old in enumerate(layers)}
    found: dict[str, NDArray[Any]] = {}
    for name in weights:
        number, _, rest = name.removeprefix(prefix).partition(".")
        if not name.startswith(prefix):
            found[name] = weights[name]
        elif number in new:
            found[f"{prefix}{new[number]}.{rest}"] = weights[name]
    return {**raw_config, key: len(layers)}, found


def make_student(
    teacher: str | os.PathLike[str], output: str | os.PathLike[str], *, layers: int | Sequence[int]
) -> tuple[int, ...]:
    """Write a student that begins with some of a teacher's layers (arXiv:1910.01108); give which those are.

    Args:
        teacher: a folder, a catalogue name, or a hub repository.
        output: the student's folder, new or empty.
        layers: how many, evenly spread with the first and the last among them, or which, from 0 on.

    The rest is kept as it is: embeddings, pooler, head, tokenizer, and of a sentence encoder its modules and
    prompts. Raises what `choose_layers` raises, `InputError` for a folder that holds something,
    `UnsupportedModelError` for a model that is no encoder, and what opening and saving a model raises.
    """
    folder = Path(output)
    check_empty(folder)
    opened = open_model(teacher)
    chosen = choose_layers(layers, opened.model.config.num_hidden_layers)
    raw, tensors = student_tensors(opened.model.raw_config, opened.model.weights, chosen)
    opened.model = Model(raw, tensors, backend="numpy")
    opened.save(folder)
    return chosen


def _layers_of(architecture: Architecture) -> tuple[str, str]:
    found = _LAYERS.get(architecture.model_type)
    if found is None:
        raise UnsupportedModelError(
            f"Students are made of {', '.join(_LAYERS)}, not of a model of type '{architecture.model_type}'."
        )
    return found
