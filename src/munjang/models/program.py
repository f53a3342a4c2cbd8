"""Programs: a description of a computation, which is a model and the requested outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from munjang.errors import CheckpointError, InputError, MissingHeadError
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.models.heads import start_markers
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.registry import Architecture, Head

LAST_HIDDEN_STATE = "last_hidden_state"  # [T, H], every packed row
POOLER_OUTPUT = "pooler_output"  # [B, H]
LOGITS = "logits"  # [R, n], or [T, n] for a head on every token


class Program(Protocol):
    """A computation that any executor can run: it maps tensors and a packed batch to named outputs.

    Programs are hashable, and equal programs compute the same, so a compiled program can be cached.
    """

    @property
    def taps(self) -> frozenset[str]:
        """Intermediate values wanted beside the outputs that the call returns."""
        ...

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Compute the outputs by name."""
        ...


@dataclass(frozen=True)
class ModelProgram:
    """An encoder and, if requested, its pooler or a head.

    ``outputs`` is any of ``last_hidden_state``, ``pooler_output`` and ``logits``; ``head`` names the head
    that computes the logits. Unless every token is needed, the last layer runs on ``batch.rows`` alone. With
    ``cached``, attention uses the cached keys and values of earlier calls of a session.
    """

    architecture: Architecture
    config: EncoderConfig
    outputs: frozenset[str]
    taps: frozenset[str] = frozenset()
    head: str | None = None
    cached: bool = False

    def __hash__(self) -> int:
        return hash((self.architecture.model_type, self.outputs, self.taps, self.head, self.cached))

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Compute the outputs by name."""
        base = self.architecture.base(root)
        x = self._encode(ops, base, batch)
        outputs: dict[str, A] = {}
        if LAST_HIDDEN_STATE in self.outputs:
            outputs[LAST_HIDDEN_STATE] = ops.tap(LAST_HIDDEN_STATE, x)
        if self.outputs & {POOLER_OUTPUT, LOGITS}:
            rows = x if self.only_rows else ops.rows(x, batch.rows)
            outputs |= self._heads(ops, root, base, x, rows, batch)
        return outputs

    def _encode(self, ops: Ops[A], base: Params[A], batch: TokenBatch[A]) -> A:
        encode = self.architecture.encode_cached if self.cached else self.architecture.encode
        if encode is None:
            raise InputError(f"A model of type '{self.architecture.model_type}' can't write on.")
        return encode(ops, base, self.config, batch, only_rows=self.only_rows)

    @property
    def only_rows(self) -> bool:
        """Whether the last layer is needed for ``batch.rows`` alone."""
        last = f"layer.{self.config.num_hidden_layers - 1}"
        every_token = LAST_HIDDEN_STATE in self.outputs or (
            LOGITS in self.outputs and self.head is not None and self.chosen_head.on in ("tokens", "markers")
        )
        return not every_token and not any(tap == last or tap.startswith(f"{last}.") for tap in self.taps)

    @property
    def chosen_head(self) -> Head:
        """The head that computes the logits."""
        if self.head is None:
            raise InputError("Logits need a head, and the program names none.")
        return self.architecture.heads[self.head]

    def _heads(
        self, ops: Ops[A], root: Params[A], base: Params[A], x: A, rows: A, batch: TokenBatch[A]
    ) -> dict[str, A]:
        outputs: dict[str, A] = {}
        if POOLER_OUTPUT in self.outputs:
            if self.architecture.pool is None:
                raise InputError(f"A model of type '{self.architecture.model_type}' has no pooler.")
            outputs[POOLER_OUTPUT] = self.architecture.pool(ops, base, rows)
        if LOGITS in self.outputs:
            given = x if self.chosen_head.on == "tokens" else rows
            if self.chosen_head.on == "markers":
                given = start_markers(ops, x, batch)
            outputs[LOGITS] = ops.tap(LOGITS, self.chosen_head.function(ops, root, base, self.config, given))
        return outputs


def heads_of(architecture: Architecture, root: Params[Any], raw_config: Mapping[str, Any]) -> list[str]:
    """Return the names of the heads that a checkpoint has trained weights for.

    Two heads of an architecture may share a tensor name; ``architectures`` in the config distinguishes them.
    """
    base = architecture.base(root)
    have = {
        name: head for name, head in architecture.heads.items() if head.tensor in root or head.tensor in base
    }
    named = raw_config.get("architectures") or []
    if not isinstance(named, list) or not all(isinstance(published, str) for published in named):
        raise CheckpointError(f"config.json: 'architectures' must be a list of names, got {named!r}.")

    def is_another(head: Head) -> bool:
        rivals = [other for other in have.values() if other.tensor == head.tensor and other is not head]
        return any(published.endswith(other.published) for other in rivals for published in named)

    return [name for name, head in have.items() if not is_another(head)]


def require_head(
    architecture: Architecture, root: Params[Any], raw_config: Mapping[str, Any], head: str
) -> None:
    """Raise an error that lists the checkpoint's heads unless it has this trained head.

    `InputError` if the architecture has no such head, `MissingHeadError` if only this checkpoint lacks it.
    """
    tensor = architecture.head(head).tensor
    have = heads_of(architecture, root, raw_config)
    if head not in have:
        raise MissingHeadError(
            f"The checkpoint has no trained {head} head; it has {', '.join(have) or 'no head at all'} "
            f"(such a head has '{tensor}'). An untrained head would give random answers: "
            "choose another model, or train one."
        )
