"""Which layers' vectors are wanted, and how several become one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.models.program import LAST_HIDDEN_STATE

__all__ = ["Combine", "Layers", "Plan", "plan_layers"]

Array: TypeAlias = NDArray[np.float32]
Layers: TypeAlias = Literal["last", "all"] | int | list[int] | tuple[int, ...] | range
Combine: TypeAlias = (
    Literal["last", "second_to_last", "sum_last_four", "concat_last_four", "mean_all"]
    | list[float]
    | tuple[float, ...]
    | NDArray[np.floating[Any]]
)
_Join: TypeAlias = Literal["only", "stack", "concat", "sum"]

_NAMES = ("last", "second_to_last", "sum_last_four", "concat_last_four", "mean_all")


@dataclass(frozen=True, slots=True)
class Plan:
    """The layers wanted, by the names of the values of the model, and how they are joined."""

    names: tuple[str, ...]
    join: _Join
    weights: tuple[float, ...] = ()

    def joined(self, layers: Sequence[Array]) -> Array:
        """Make one array of those of each layer, ``[l, H]``."""
        if self.join == "only":
            return layers[0]
        if self.join == "stack":
            return np.stack(layers)
        if self.join == "concat":
            return np.concatenate(layers, axis=-1)
        return np.tensordot(np.array(self.weights, dtype=np.float32), np.stack(layers), axes=1)


def plan_layers(count: int, layers: Layers | None, combine: Combine | None) -> Plan:
    """Choose from a model of so many layers, and its embedding output.

    Raises `InputError` or `InputTypeError` for what can't be chosen.
    """
    if layers is not None and combine is not None:
        raise InputError("Give layers, to have each of them, or combine, to make one of several; not both.")
    if combine is not None:
        return _combined(count, combine)
    if layers is None or layers == "last":
        return Plan(_names(count, [-1]), "only")
    if layers == "all":
        return Plan(_names(count, range(count + 1)), "stack")
    if isinstance(layers, int) and not isinstance(layers, bool):
        return Plan(_names(count, [layers]), "only")
    if not isinstance(layers, list | tuple | range):
        raise InputError(f"layers is {layers!r}; give 'last', 'all', a number, or a list of numbers.")
    if not layers:
        raise InputError("layers is empty; name at least one.")
    return Plan(_names(count, layers), "stack")


def _combined(count: int, combine: Combine) -> Plan:
    if isinstance(combine, str):
        return _named(count, combine)
    if not isinstance(combine, list | tuple | np.ndarray):
        raise InputError(f"combine is {combine!r}; give {', '.join(_NAMES)}, or a weight for each layer.")
    if len(combine) != count + 1:
        raise InputError(
            f"combine has {len(combine)} weights; the embedding output and {count} layers need {count + 1}."
        )
    try:
        weights = tuple(float(weight) for weight in combine)
    except (TypeError, ValueError):
        raise InputTypeError(f"The weights of combine must be numbers, got {list(combine)!r:.80}.") from None
    if not all(map(math.isfinite, weights)):
        raise InputError(f"The weights of combine must be finite, got {list(combine)!r:.80}.")
    used = [layer for layer, weight in enumerate(weights) if weight]
    if not used:
        raise InputError("All weights of combine are zero.")
    return Plan(_names(count, used), "sum", tuple(weights[layer] for layer in used))


def _named(count: int, combine: str) -> Plan:
    if combine == "last":
        return Plan(_names(count, [-1]), "only")
    if combine == "second_to_last":
        return Plan(_names(count, [-2]), "only")
    if combine == "mean_all":
        return Plan(_names(count, range(count + 1)), "sum", (1 / (count + 1),) * (count + 1))
    if combine not in _NAMES:
        raise InputError(f"Unknown combine {combine!r}; there are {', '.join(_NAMES)}, or weights.")
    if count < 4:
        raise InputError(f"{combine} needs a model of at least 4 layers; this one has {count}.")
    four = _names(count, range(count - 3, count + 1))
    return Plan(four, "concat") if combine == "concat_last_four" else Plan(four, "sum", (1.0,) * 4)


def _names(count: int, layers: Sequence[int]) -> tuple[str, ...]:
    """Name layers by number: 0 for the embedding output, 1 for the first layer, -1 for the last."""
    return tuple(_name(count, layer) for layer in layers)


def _name(count: int, layer: int) -> str:
    if not isinstance(layer, int) or isinstance(layer, bool):
        raise InputTypeError(f"A layer is a number, not {layer!r}.")
    number = layer + count + 1 if layer < 0 else layer
    if not 0 <= number <= count:
        raise InputError(
            f"There is no layer {layer}; the model has 0 (the embedding output) to {count}, or -1 to "
            f"{-count - 1} from the end."
        )
    if number == count:
        return LAST_HIDDEN_STATE
    return "embeddings" if number == 0 else f"layer.{number - 1}"
