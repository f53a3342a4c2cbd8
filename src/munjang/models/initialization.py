"""Tensors and rows that a checkpoint lacks: an encoder or a head, drawn at random, and rows of new tokens.

`munjang.models.shapes` checks a checkpoint by running its model on shapes. Here the same run also creates
missing shapes: a width that is still unknown becomes equal to the first one that it is compared with, and one
that nothing constrains is that of the layer's input. Matrices are normal with the config's
``initializer_range``, biases zero and norms one, as for BERT (arXiv:1810.04805).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.errors import CheckpointError
from munjang.models.config import EncoderConfig, LabelConfig, check_range, number
from munjang.models.params import Params
from munjang.models.program import LAST_HIDDEN_STATE, LOGITS, ModelProgram
from munjang.models.registry import Architecture, architecture_of
from munjang.models.shapes import Shape, ShapeOps, any_batch, check_logits, shape_ops

Tensors: TypeAlias = dict[str, NDArray[Any]]


class _Width:
    """A width to be found out: comparing it with another makes them equal."""

    __hash__ = None  # type: ignore[assignment] # equality changes it

    def __init__(self, default: Any = None) -> None:
        self._default = default  # the width of the input: a layer without other constraints keeps it
        self._same: _Width | int | None = None

    def _root(self) -> _Width:
        return self._same._root() if isinstance(self._same, _Width) else self

    def __eq__(self, other: object) -> bool:
        root = self._root()
        if isinstance(other, _Width):
            other = other._root()
            if other is root:
                return True
            if other._same is not None:
                other = other._same
        if root._same is None:
            root._same = other  # type: ignore[assignment]
            return True
        if isinstance(other, _Width):
            other._same = root
            return True
        return root._same == other

    def __add__(self, other: Any) -> int:
        return self.value() + int(other)

    __radd__ = __add__

    def __mod__(self, divisor: int) -> int:
        return self.value() % divisor

    def __floordiv__(self, divisor: int) -> int:
        return self.value() // divisor

    def __str__(self) -> str:
        return str(self.value())

    def __int__(self) -> int:
        return self.value()

    def value(self) -> int:
        """Return the width; raise `CheckpointError` if nothing determines it."""
        root = self._root()
        if root._same is None:
            default = root._default
            root._same = default.value() if isinstance(default, _Width) else default
        if not isinstance(root._same, int):
            raise CheckpointError("A tensor's width can't be derived from the config.")
        return root._same


class _Creating(Params[Shape]):
    """A view that creates the shape of a tensor that is read and missing."""

    def __truediv__(self, name: str | int) -> _Creating:
        return _Creating(self.tensors, f"{self.prefix}{name}.")

    def __getitem__(self, name: str) -> Shape:
        if name not in self:
            rank = 1 if name.endswith("bias") else 2
            self.create(name, tuple(_Width() for _ in range(rank)))
        return super().__getitem__(name)

    def create(self, name: str, dims: tuple[Any, ...]) -> Shape:
        """Return a tensor's shape, which is ``dims`` if it is missing."""
        if name not in self:
            full = self.prefix + name
            self.tensors[full] = Shape(dims, full)  # type: ignore[index] # made here
        return super().__getitem__(name)

    def has_prefix(self) -> bool:
        return True  # a new head is published beside an encoder with its prefix


class _CreatingOps(ShapeOps):
    """Shapes, with the missing parameters of layers and norms created where they are used."""

    def linear(self, x: Shape, params: Params[Shape]) -> Shape:
        assert isinstance(params, _Creating)
        weight = params.create("weight", (_Width(x.dims[-1]), x.dims[-1]))
        return self.affine(x, weight, params.create("bias", (weight.dims[0],)))

    def layer_norm(self, x: Shape, params: Params[Shape], eps: float) -> Shape:
        assert isinstance(params, _Creating)
        for name in ("weight", "bias"):
            params.create(name, (x.dims[-1],))
        return super().layer_norm(x, params, eps)


def missing_shapes(
    architecture: Architecture,
    config: EncoderConfig,
    shapes: Mapping[str, tuple[int, ...]],
    head: str | None = None,
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors that an encoder, or its head, needs beside those of ``shapes``.

    Names are published ones with the encoder's prefix, in the order of the computation. Raises `InputError`
    if the architecture has no such head, `CheckpointError` if ``shapes`` do not fit the config, or if a width
    can't be derived.
    """
    if head is not None:
        architecture.head(head)
    known = {name: Shape(dims, name) for name, dims in shapes.items()}
    ops = _CreatingOps(*shape_ops(config))
    outputs = frozenset({LAST_HIDDEN_STATE if head is None else LOGITS})
    program = ModelProgram(architecture, config, outputs, head=head)
    logits = program(ops, _Creating(known), any_batch()).get(LOGITS)
    if logits is not None:
        check_logits(program, logits.dims[-1])
    return {
        name: tuple(int(width) for width in shape.dims) for name, shape in known.items() if name not in shapes
    }


def drawn(
    shapes: Mapping[str, tuple[int, ...]], raw_config: Mapping[str, Any], rng: np.random.Generator
) -> Tensors:
    """Return tensors before training: ones for the scale of a norm, zeros for a bias, else normal numbers."""
    scale = np.float32(_initializer_range(raw_config))
    tensors: Tensors = {}
    for name, shape in shapes.items():
        if name.endswith("bias"):
            tensors[name] = np.zeros(shape, dtype=np.float32)
        elif len(shape) == 1:
            tensors[name] = np.ones(shape, dtype=np.float32)
        else:
            tensors[name] = (rng.standard_normal(shape, dtype=np.float32) * scale).astype(np.float32)
    return tensors


def _initializer_range(raw_config: Mapping[str, Any]) -> float:
    name = "initializer_range"
    if raw_config.get(name, 0.0) is None:
        raise CheckpointError(f"config.json: '{name}' must be of type float, got null.")
    scale = number(raw_config, name, 0.02)
    check_range(name, scale, 0.0, 1.0)
    return scale


def new_encoder(raw_config: Mapping[str, Any], *, seed: int = 1) -> Tensors:
    """Return the tensors of an encoder before training, under its published prefix."""
    architecture = architecture_of(raw_config)
    missing = missing_shapes(architecture, architecture.read_config(raw_config), {})
    return drawn(missing, raw_config, np.random.default_rng([seed, 3]))


def with_head(
    raw_config: Mapping[str, Any],
    weights: Mapping[str, NDArray[Any]],
    head: str,
    *,
    labels: Mapping[int, str] | None = None,
    problem_type: str | None = None,
    seed: int = 1,
) -> tuple[dict[str, Any], Tensors]:
    """Return a checkpoint's config and tensors with a head for a task, in the published layout.

    A head that is there already is kept if it has the same labels. Other heads are left out, and so are
    labels and the type of problem of another head. Raises `InputError` if the architecture has no such head,
    `CheckpointError` for values of the config that can't be used.
    """
    architecture = architecture_of(raw_config)
    width = architecture.head(head).width
    raw = {**raw_config, "architectures": [architecture.published_class(head)]}
    if labels is not None or isinstance(width, int):
        for name in ("id2label", "label2id", "num_labels", "problem_type"):
            raw.pop(name, None)
    if labels is not None:
        raw["id2label"] = {str(i): name for i, name in labels.items()}
        raw["label2id"] = {name: i for i, name in labels.items()}
    if problem_type is not None:
        raw["problem_type"] = problem_type
    base = _prefixed(architecture, weights)
    config = architecture.read_config(raw)
    new = missing_shapes(architecture, config, {name: value.shape for name, value in base.items()}, head)
    same = labels is None or LabelConfig.from_dict(raw_config).id2label == dict(labels)
    kept = {
        name: weights[name]
        for name, shape in new.items()
        if same and name in weights and tuple(weights[name].shape) == shape
    }
    fresh = {name: shape for name, shape in new.items() if name not in kept}
    return raw, {**base, **kept, **drawn(fresh, raw, np.random.default_rng([seed, 7]))}


def _prefixed(architecture: Architecture, weights: Mapping[str, NDArray[Any]]) -> Tensors:
    """The encoder's tensors under the prefix that a checkpoint with a head has."""
    prefix = f"{architecture.base_prefix}."
    if architecture.base(Params(weights)).prefix:
        return {name: weights[name] for name in weights if name.startswith(prefix)}
    return {prefix + name: weights[name] for name in weights}


def resized(
    table: NDArray[np.float32], size: int, pieces: Mapping[int, Sequence[int]]
) -> NDArray[np.float32]:
    """Return a matrix ``[V, ...]``, or a bias ``[V]``, resized to ``[size, ...]``.

    The row of a token in ``pieces`` becomes the mean of its pieces' rows, any other new row the mean of all.
    So the initial score of a new token is the mean score of its pieces.
    """
    grown: NDArray[Any] = np.empty((size, *table.shape[1:]), dtype=np.float32)
    kept = min(size, len(table))
    grown[:kept] = table[:kept]
    grown[kept:] = table.mean(axis=0) if size > kept else 0
    for row, former in pieces.items():
        known = [i for i in former if i < len(table)]
        if row < size and known:
            grown[row] = table[known].mean(axis=0)
    return grown
