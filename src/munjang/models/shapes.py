"""Check of a checkpoint by running its model on shapes alone, before any arithmetic.

`ShapeOps` is an executor whose arrays are shapes. Running a program on it visits every tensor that the model
uses, so a missing tensor or a wrong shape is found in milliseconds, with the tensor's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from munjang.errors import CheckpointError
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig, LabelConfig
from munjang.models.ops import PoolMode
from munjang.models.params import MadeOnce, Params
from munjang.models.program import LOGITS, ModelProgram, Program

_TOKENS, _TEXTS, _LONGEST = 7, 3, 4  # arbitrary numbers
_ENCODER = ("encoder.", "embeddings", "transformer.", "h.", "wte.", "wpe.", "ln_f.")
_BUFFERS = (
    "position_ids",
    "token_type_ids",
    ".attn.bias",
    ".attn.masked_bias",
)  # not learned
_HEADS = ("pooler.", "classifier.", "pre_classifier.")


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of an array, and the tensor's name if it comes from the checkpoint."""

    dims: tuple[int, ...]
    name: str = ""

    def _same(self, other: Shape | float) -> Shape:
        if isinstance(other, Shape) and self.dims != other.dims:
            raise CheckpointError(f"Tensors do not fit: {_show(self)} and {_show(other)}.")
        return Shape(self.dims)

    __add__ = __sub__ = __mul__ = __truediv__ = _same


def _show(shape: Shape) -> str:
    named = f"'{shape.name}' of " if shape.name else ""
    return f"{named}shape {list(shape.dims)}"


def _expect(tensor: Shape, dims: tuple[int | None, ...]) -> None:
    fits = len(tensor.dims) == len(dims) and all(
        want is None or want == have for have, want in zip(tensor.dims, dims, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in dims)
        raise CheckpointError(
            f"Tensor '{tensor.name}' has shape {list(tensor.dims)}; the model needs [{wanted}]. "
            "The weights and config.json do not belong together."
        )


class ShapeOps:
    """The executor whose arrays are shapes.

    Args:
        tables: the required shapes of embeddings, by suffix of the tensor name.
        widths: the required widths of named intermediate values, by suffix of the name.
    """

    def __init__(self, tables: Mapping[str, tuple[int, int]], widths: Mapping[str, int]) -> None:
        self._tables = tables
        self._widths = widths
        self.without_bias: list[str] = []

    def rows(self, table: Shape, index: Shape) -> Shape:
        for ending, dims in self._tables.items():
            if table.name.endswith(ending):
                _expect(table, dims)
        _expect(table, (None, None))
        return Shape((*index.dims, table.dims[1]))

    def linear(self, x: Shape, params: Params[Shape]) -> Shape:
        bias = params.get("bias")
        if bias is None:
            self.without_bias.append(f"{params.prefix}bias")
        return self.affine(x, params["weight"], bias)

    def affine(self, x: Shape, weight: Shape, bias: Shape | None, *, transposed: bool = True) -> Shape:
        _expect(weight, (None, x.dims[-1]) if transposed else (x.dims[-1], None))
        width = weight.dims[0 if transposed else 1]
        if bias is not None:
            _expect(bias, (width,))
        return Shape((*x.dims[:-1], width))

    def layer_norm(self, x: Shape, params: Params[Shape], eps: float) -> Shape:
        _expect(params["weight"], (x.dims[-1],))
        _expect(params["bias"], (x.dims[-1],))
        return x

    def activation(self, name: str, x: Shape) -> Shape:
        return x

    def attention(
        self,
        query: Shape,
        key: Shape,
        value: Shape,
        batch: TokenBatch[Shape],
        *,
        heads: int,
        dropout: float,
        name: str,
        cached: bool = False,
    ) -> Shape:
        if query.dims != key.dims or query.dims != value.dims or query.dims[-1] % heads:
            raise CheckpointError(
                f"{name}: query, key and value have shapes {query.dims}, {key.dims}, {value.dims}; "
                f"they must be equal and divide into {heads} heads."
            )
        return value

    def softmax(self, x: Shape) -> Shape:
        return x

    def split(self, x: Shape, parts: int) -> Sequence[Shape]:
        if x.dims[-1] % parts:
            raise CheckpointError(f"A width of {x.dims[-1]} does not divide into {parts} parts.")
        return [Shape((*x.dims[:-1], x.dims[-1] // parts))] * parts

    def concat(self, parts: Sequence[Shape]) -> Shape:
        return Shape((*parts[0].dims[:-1], sum(part.dims[-1] for part in parts)))

    def pool(self, x: Shape, batch: TokenBatch[Shape], mode: PoolMode, weighting: int) -> Shape:
        return Shape((batch.pad_index.dims[0], x.dims[-1]))

    def normalize(self, x: Shape) -> Shape:
        return x

    def dropout(self, x: Shape, rate: float) -> Shape:
        return x

    def tap(self, name: str, x: Shape) -> Shape:
        for ending, width in self._widths.items():
            if name.endswith(ending) and x.dims[-1] != width:
                raise CheckpointError(
                    f"The weights make '{name}' {x.dims[-1]} wide, config.json says {width}. "
                    "The weights and config.json do not belong together."
                )
        return x


def check_checkpoint(
    program: Program, config: EncoderConfig, shapes: Mapping[str, tuple[int, ...]], base_prefix: str
) -> dict[str, tuple[int, ...]]:
    """Run a program on shapes to check that every tensor exists with the right shape.

    Returns the shapes of the outputs for a batch of 7 tokens in 3 texts. Raises `CheckpointError`, naming the
    tensor, if a tensor is missing or has a wrong shape, or if the encoder has more layers than the config.
    """
    tensors = MadeOnce(shapes, lambda name, dims: Shape(dims, name))
    ops = ShapeOps(*shape_ops(config))
    outputs = program(ops, Params(tensors), any_batch())
    if LOGITS in outputs and isinstance(program, ModelProgram):
        check_logits(program, outputs[LOGITS].dims[-1])
    for name in ops.without_bias:  # a module after the model may have no bias
        if name.removeprefix(f"{base_prefix}.").startswith(_ENCODER + _HEADS):
            raise CheckpointError(f"The checkpoint has no tensor '{name}'.")
    _check_unused(shapes.keys() - tensors.made.keys(), base_prefix)
    return {name: shape.dims for name, shape in outputs.items()}


def shape_ops(config: EncoderConfig) -> tuple[Mapping[str, tuple[int, int]], Mapping[str, int]]:
    """Return the tables and widths that a config determines, for `ShapeOps`."""
    tables = {
        "word_embeddings.weight": (config.vocab_size, config.embedding_size),
        "position_embeddings.weight": (config.max_position_embeddings, config.embedding_size),
        "token_type_embeddings.weight": (config.type_vocab_size, config.embedding_size),
        "wte.weight": (config.vocab_size, config.embedding_size),
        "wpe.weight": (config.max_position_embeddings, config.embedding_size),
    }
    widths = {
        "embeddings": config.hidden_size,
        ".query": config.hidden_size,
        ".intermediate": config.intermediate_size,
        "pooler_output": config.hidden_size,
    }
    return tables, widths


def any_batch() -> TokenBatch[Shape]:
    """Return the shapes of a batch of 7 tokens in 3 texts."""
    per_token = Shape((_TOKENS,))
    return TokenBatch(
        input_ids=per_token,
        position_ids=per_token,
        token_type_ids=per_token,
        pad_index=Shape((_TEXTS, _LONGEST)),
        attention_bias=Shape((_TEXTS, 1, 1, _LONGEST)),
        unpad_index=per_token,
        rows=Shape((_TEXTS,)),
        pool_weights=Shape((_TEXTS, 1, _LONGEST)),
    )


def check_logits(program: ModelProgram, width: int) -> None:
    """Raise `CheckpointError` unless the weights of a head have the outputs that the config states."""
    head = program.chosen_head
    if head.width == "labels":
        _check_labels(program.config.labels, width)
        return
    expected = head.outputs(program.config)
    if width != expected:
        raise CheckpointError(f"The weights give {width} logits, a {program.head} head gives {expected}.")


def _check_labels(labels: LabelConfig, width: int) -> None:
    if labels.num_labels != width:
        raise CheckpointError(
            f"The weights give {width} logits, but config.json's 'id2label' names {labels.num_labels}."
        )
    if set(labels.id2label) != set(range(labels.num_labels)):
        raise CheckpointError(
            f"config.json: 'id2label' must number the labels from 0 to {labels.num_labels - 1}, "
            f"got {sorted(labels.id2label)}."
        )


def _check_unused(unused_names: Iterable[str], base_prefix: str) -> None:
    """Raise `CheckpointError` for an unused encoder tensor: the config describes another model."""
    unused = [
        name
        for name in sorted(unused_names)
        if name.removeprefix(f"{base_prefix}.").startswith(_ENCODER) and not name.endswith(_BUFFERS)
    ]
    if unused:
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        raise CheckpointError(
            f"The model described by config.json does not use these tensors: {', '.join(unused[:3])}{more}."
        )
