"""`Model`: one checkpoint, its config and weights, and an executor to run it on padded arrays."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import EllipsisType
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from munjang.backends.executor import Array, Outputs
from munjang.backends.registry import make_executor
from munjang.checkpoints import Checkpoint, OpenArguments, OpenOptions, open_checkpoint
from munjang.errors import CheckpointError, InputError, InputTypeError
from munjang.models.batch import TokenBatch
from munjang.models.initialization import resized
from munjang.models.params import Params
from munjang.models.program import (
    LAST_HIDDEN_STATE,
    LOGITS,
    POOLER_OUTPUT,
    ModelProgram,
    Program,
    heads_of,
    require_head,
)
from munjang.models.registry import architecture_of
from munjang.models.shapes import check_checkpoint
from munjang.runtime.notices import AssumptionWarning, notify
from munjang.runtime.runner import LANES, Layout, Runner, unpad
from munjang.validation import takes_keywords


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """The requested outputs of a model; all other outputs are ``None``.

    An output can be read as an attribute, by name (``output["logits"]``), by index among the present outputs
    (``output[0]``, ``output[:2]``), or by unpacking: iteration is over the values. ``keys()``, ``values()``,
    ``items()``, ``to_tuple()``, ``len`` and ``in`` include only the present outputs.

    Attributes:
        loss: a scalar, if labels were given (`munjang.transformers`).
        last_hidden_state: ``[B, L, H]``; zero where the attention mask is zero.
        pooler_output: ``[B, H]``.
        logits: ``[B, num_labels]``, or a row per token.
        start_logits, end_logits: ``[B, L]``, of a question-answering model of `munjang.transformers`.
        hidden_states: the embeddings and then each layer, ``num_hidden_layers + 1`` arrays ``[B, L, H]``.
        attentions: per layer ``[B, heads, L, L]``; zero where either token is masked.
    """

    loss: NDArray[np.float32] | None = None
    last_hidden_state: NDArray[np.float32] | None = None
    pooler_output: NDArray[np.float32] | None = None
    logits: NDArray[np.float32] | None = None
    start_logits: NDArray[np.float32] | None = None
    end_logits: NDArray[np.float32] | None = None
    hidden_states: tuple[NDArray[np.float32], ...] | None = None
    attentions: tuple[NDArray[np.float32], ...] | None = None

    def __getitem__(self, key: str | int | slice) -> Any:
        """Return an output by name, or by its index among the present outputs."""
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self:
            raise KeyError(f"The output has no {key!r}; it has {', '.join(self.keys())}.")
        return getattr(self, key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def keys(self) -> list[str]:
        """Return the names of the present outputs."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    def values(self) -> tuple[Any, ...]:
        """Return the present outputs."""
        return self.to_tuple()

    def items(self) -> list[tuple[str, Any]]:
        """Return the names and values of the present outputs."""
        return [(name, getattr(self, name)) for name in self.keys()]

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the present outputs."""
        return tuple(getattr(self, name) for name in self.keys())


def whole_numbers(name: str, value: ArrayLike) -> NDArray[np.integer[Any]]:
    """Return a caller's array ``[B, L]`` or row ``[L]`` as integers; a mask may be boolean.

    Raises `InputError` for any other type.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name}: the rows have different lengths; tokenize with padding=True.") from None
    if array.size == 0 or (array.dtype == np.bool_ and name == "attention_mask"):
        array = array.astype(np.int64)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{name} must be whole numbers of shape [B, L], got {array.dtype} of shape {array.shape}."
        )
    return array


def pad_tokens(packed: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return packed rows ``[T, H]`` at the token positions of the mask: ``[B, L, H]``, zero elsewhere."""
    full = np.zeros((*mask.shape, packed.shape[-1]), dtype=np.float32)
    full[mask] = packed
    return full


def pad_attention(attention: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return attention without padding, ``[B, heads, l, l]``, at the token positions of the mask."""
    batch, heads = attention.shape[:2]
    full = np.zeros((batch, heads, mask.shape[1], mask.shape[1]), dtype=np.float32)
    for i, row in enumerate(mask):
        positions = np.flatnonzero(row)
        n = len(positions)
        full[i][np.ix_(np.arange(heads), positions, positions)] = attention[i, :, :n, :n]
    return full


class Model:
    """A model of the BERT family, ready to run.

    Example::

        tokenizer = munjang.Tokenizer.from_pretrained("all-MiniLM-L6-v2")
        model = munjang.Model.from_pretrained("all-MiniLM-L6-v2")
        output = model(**tokenizer("I love Paris", return_tensors="np"))
        output.last_hidden_state.shape  # (1, 5, 384)

    Created with `from_pretrained` or `from_checkpoint`.
    """

    def __init__(
        self,
        raw_config: Mapping[str, Any],
        weights: Mapping[str, Array],
        *,
        head: str | None = None,
        backend: str = "openvino",
        threads: int | None = None,
        streams: int | None = None,
        dtype: str = "float32",
    ) -> None:
        self.name_or_path = ""
        """The name by which the model was opened; empty for a model made in memory."""
        self.raw_config = dict(raw_config)
        self.architecture = architecture_of(raw_config)
        self.config = self.architecture.read_config(raw_config)
        self.head = head
        self.weights: Mapping[str, Array] = weights
        self.backend, self.dtype = backend, dtype
        self._threads, self._streams = threads, streams
        if head is not None:
            require_head(self.architecture, Params(weights), raw_config, head)
        self.check(self.program(self._default_outputs()))
        self._start()

    def __repr__(self) -> str:
        """Return the name, the architecture, the head, the size and the backend."""
        config = self.config
        return (
            f"Model({self.name_or_path!r}, architecture={self.architecture.model_type!r}, "
            f"head={self.head!r}, layers={config.num_hidden_layers}, hidden_size={config.hidden_size}, "
            f"vocab_size={config.vocab_size}, backend={self.backend!r}, dtype={self.dtype!r})"
        )

    @classmethod
    @takes_keywords(OpenArguments, OpenOptions)
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        head: str | EllipsisType | None = ...,
        **options: Unpack[OpenArguments],
    ) -> Model:
        """Load a model by its folder, catalogue name or hub repository.

        ``head`` is ``None`` for the bare encoder, or one of ``"sequence-classification"``,
        ``"token-classification"``, ``"question-answering"``, ``"masked-lm"``, ``"next-sentence-prediction"``
        and ``"causal-lm"``. The default is the bare encoder, with an `AssumptionWarning` if the checkpoint
        has trained heads (`heads` lists them): the first output is then a hidden state, not the logits. The
        other options are the fields of `munjang.checkpoints.OpenOptions`.

        Raises `UnknownModelError`, `FetchError`, `UnsupportedModelError`, `CheckpointError` (also if the
        checkpoint has no such head), or `InputError` for an unknown head.
        """
        opening = OpenOptions(**options)
        checkpoint = open_checkpoint(name, opening)
        model = cls.from_checkpoint(checkpoint, None if isinstance(head, EllipsisType) else head, opening)
        if head is ... and model.heads:
            notify(
                f"'{checkpoint.name}' was opened as a bare encoder, without the trained heads that it has "
                f"({', '.join(model.heads)}). Name one with head=..., or pass head=None for the encoder.",
                AssumptionWarning,
            )
        return model

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        head: str | None = None,
        options: OpenOptions | None = None,
    ) -> Model:
        """Load a model from an opened checkpoint, with the executor of ``options``."""
        chosen = options or OpenOptions()
        model = cls(
            checkpoint.config(),
            checkpoint.weights(),
            head=head,
            backend=chosen.backend,
            threads=chosen.threads,
            streams=chosen.streams,
            dtype=chosen.dtype,
        )
        model.name_or_path = checkpoint.name
        return model

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        """Replace the weights, for example by a mapping with further modules, and drop compiled programs."""
        self.weights = weights
        self._start()

    def _start(self) -> None:
        executor = make_executor(
            self.backend, self.weights, threads=self._threads, streams=self._streams, dtype=self.dtype
        )
        self.runner = Runner(
            executor,
            Layout.of(self.config),
            streams=executor.streams,
            all_cores=executor.for_sessions if self._streams is None else None,
            weights=self.weights,
        )

    def check(self, program: Program, extra: Mapping[str, Array] | None = None) -> dict[str, tuple[int, ...]]:
        """Check that the weights fit a program, else raise `CheckpointError`; return its outputs' shapes.

        ``extra`` are weights beside the model's. The first axes of the shapes are those of a dummy batch.
        """
        shape_of = getattr(self.weights, "shape", None) or (lambda name: self.weights[name].shape)
        shapes = {name: tuple(shape_of(name)) for name in self.weights}
        shapes |= {name: value.shape for name, value in (extra or {}).items()}
        return check_checkpoint(program, self.config, shapes, self.architecture.base_prefix)

    @property
    def heads(self) -> list[str]:
        """The names of the heads that the checkpoint has trained weights for."""
        return heads_of(self.architecture, Params(self.weights), self.raw_config)

    @property
    def has_pooler(self) -> bool:
        """Whether the checkpoint has a trained pooler."""
        base = self.architecture.base(Params(self.weights))
        return self.architecture.pool is not None and "pooler.dense.weight" in base

    def _default_outputs(self) -> frozenset[str]:
        if self.head is not None:
            return frozenset({LOGITS})
        return frozenset({LAST_HIDDEN_STATE, POOLER_OUTPUT} if self.has_pooler else {LAST_HIDDEN_STATE})

    def program(self, outputs: frozenset[str], taps: frozenset[str] = frozenset()) -> ModelProgram:
        """Return the program for these outputs and taps of this model."""
        return ModelProgram(
            self.architecture, self.config, outputs, taps, self.head if LOGITS in outputs else None
        )

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        *,
        outputs: Sequence[str] | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> ModelOutput:
        """Run the model on padded arrays ``[B, L]`` from a tokenizer.

        ``outputs`` names the requested outputs among ``last_hidden_state``, ``pooler_output`` and ``logits``;
        the default is the first two, or the logits if the model was opened with a head. Raises `InputError`
        for mismatched shapes, ids outside the vocabulary, and texts that are too long or completely masked.
        """
        # The shape of attentions is that of the texts.
        multiple = 1 if output_attentions else LANES
        batch, mask = self._batch(input_ids, attention_mask, token_type_ids, multiple=multiple)
        wanted = self._wanted(outputs)
        taps: list[str] = []
        if output_hidden_states:
            taps += self._hidden_state_names()[:-1]
        if output_attentions:
            taps += self._attention_names()
        if not wanted and not output_hidden_states and not output_attentions:
            raise InputError("Nothing was asked for: outputs is empty.")
        # The last hidden state is the model's output: after GPT-2's final layer norm, not before it.
        program = self.program(
            wanted | {LAST_HIDDEN_STATE} if output_hidden_states else wanted, frozenset(taps)
        )
        if LOGITS in wanted and program.chosen_head.on == "chosen":
            batch = replace(batch, rows=np.arange(len(batch.input_ids), dtype=np.int32))
        values = self.runner.run_batch(program, batch)
        return self._arrange(values, mask, wanted, output_hidden_states, output_attentions)

    def every_value(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
    ) -> dict[str, Array]:
        """Run the numpy executor and return every named intermediate value, in the order of computation.

        Values per token are packed, ``[T, ...]``; attention values are ``[B, heads, L, L]``.
        """
        from munjang.backends.numpy import NumpyExecutor

        batch, _ = self._batch(input_ids, attention_mask, token_type_ids)
        # With the last hidden state as an output, the last layer computes all tokens.
        program = self.program(self._default_outputs() | {LAST_HIDDEN_STATE})
        return NumpyExecutor(self.weights).every_value(program, batch)

    def _wanted(self, outputs: Sequence[str] | None) -> frozenset[str]:
        if outputs is None:
            return self._default_outputs()
        if isinstance(outputs, str):
            raise InputTypeError(f"outputs must be a list of names, got {outputs!r}.")
        known = (LAST_HIDDEN_STATE, LOGITS, POOLER_OUTPUT)
        for name in outputs:
            if name not in known:
                raise InputError(f"Unknown output {name!r}; there are {', '.join(known)}.")
        if LOGITS in outputs and self.head is None:
            have = ", ".join(self.heads) or "no trained head"
            raise InputError(f"Logits need a head: open the model with head=...; the checkpoint has {have}.")
        if POOLER_OUTPUT in outputs:
            self._require_pooler()
        return frozenset(outputs)

    def _require_pooler(self) -> None:
        if self.architecture.pool is None:
            raise InputError(f"A model of type '{self.architecture.model_type}' has no pooler.")
        if not self.has_pooler:
            raise CheckpointError(
                "The checkpoint has no trained pooler (no tensor 'pooler.dense.weight'); an untrained one "
                "would give random vectors."
            )

    def _hidden_state_names(self) -> list[str]:
        layers = (f"layer.{i}" for i in range(self.config.num_hidden_layers - 1))
        return ["embeddings", *layers, LAST_HIDDEN_STATE]

    def _attention_names(self) -> list[str]:
        return [f"layer.{i}.attention.probabilities" for i in range(self.config.num_hidden_layers)]

    def _batch(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None,
        token_type_ids: ArrayLike | None,
        *,
        multiple: int = 1,
    ) -> tuple[TokenBatch[Array], NDArray[np.bool_]]:
        if self.head is not None and self.architecture.heads[self.head].on == "markers":
            raise InputError(
                f"A {self.head} head needs the positions of the entities; "
                f"use munjang.pipeline('{self.head}', ...)."
            )
        ids = whole_numbers("input_ids", input_ids)
        mask = (
            np.ones_like(ids) if attention_mask is None else whole_numbers("attention_mask", attention_mask)
        )
        types = (
            np.zeros_like(ids) if token_type_ids is None else whole_numbers("token_type_ids", token_type_ids)
        )
        for name, array in (("attention_mask", mask), ("token_type_ids", types)):
            if array.shape != ids.shape:
                raise InputError(f"{name} has shape {array.shape}, input_ids has {ids.shape}.")
        return unpad(ids, mask, types, self.runner.layout, multiple=multiple), mask != 0

    def _arrange(
        self,
        values: Outputs,
        mask: NDArray[np.bool_],
        wanted: frozenset[str],
        hidden_states: bool,
        attentions: bool,
    ) -> ModelOutput:
        output = ModelOutput(pooler_output=values.get(POOLER_OUTPUT), logits=values.get(LOGITS))
        if LOGITS in values and self.architecture.heads[self.head or ""].on != "first":
            output = replace(output, logits=pad_tokens(values[LOGITS], mask))
        if LAST_HIDDEN_STATE in wanted:
            output = replace(output, last_hidden_state=pad_tokens(values[LAST_HIDDEN_STATE], mask))
        if hidden_states:
            states = tuple(pad_tokens(values[name], mask) for name in self._hidden_state_names())
            output = replace(output, hidden_states=states)
        if attentions:
            layers = tuple(pad_attention(values[name], mask) for name in self._attention_names())
            output = replace(output, attentions=layers)
        return output

    def resize_token_embeddings(
        self, new_size: int, pieces: Mapping[int, Sequence[int]] | None = None
    ) -> None:
        """Resize the vocabulary's tensors, for a tokenizer with added tokens.

        The row of a token in ``pieces`` is initialised with the mean of the rows of its pieces (the ids of
        the token's former pieces, from `Tokenizer.added_pieces`), also if the checkpoint has a spare row for
        it; any other new row is initialised with the mean of all old rows. A head that scores the vocabulary
        is resized in the same way. Raises `InputError` for a size below 1.
        """
        if new_size < 1:
            raise InputError(f"The vocabulary must keep at least one token, got {new_size}.")
        grown = {
            name: resized(self.weights[name], new_size, pieces or {})
            for name in self.architecture.vocabulary_tensors(Params(self.weights))
        }
        self.weights = ChainMap(grown, self.weights)  # type: ignore[arg-type] # read, never written
        self.raw_config["vocab_size"] = new_size
        self.config = replace(self.config, vocab_size=new_size)
        self.check(self.program(self._default_outputs()))
        self._start()

    def save_pretrained(self, folder: str | os.PathLike[str], *, without: Sequence[str] = ()) -> None:
        """Write ``config.json`` and ``model.safetensors``, which `transformers` can load too.

        Tensors with a prefix in ``without`` are not written. Raises `CheckpointError` if the folder can't be
        written.
        """
        from munjang.checkpoints import save_weights
        from munjang.checkpoints.files import write_json

        path = Path(folder)
        # The weights are written as float32, whatever the dtype of the published weights.
        precision: dict[str, Any] = {
            key: "float32" for key in ("dtype", "torch_dtype") if key in self.raw_config
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_json(path / "config.json", {**self.raw_config, **precision})
        except (OSError, ValueError) as error:  # ValueError: a NUL character
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(
                f"Can't write into {str(path)!r}: {reason}. Choose another folder or make room."
            ) from error
        left_out = tuple(f"{prefix}." for prefix in without)
        save_weights(
            path / "model.safetensors",
            {name: self.weights[name] for name in self.weights if not name.startswith(left_out)},
        )
