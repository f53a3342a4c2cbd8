"""What is to be computed: a model, the outputs asked for, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from munjang.errors import CheckpointError, InputError
from munjang.models.batch import TokenBatch
from munjang.models.config import EncoderConfig
from munjang.models.ops import A, Ops
from munjang.models.params import Params
from munjang.models.registry import Architecture

__all__ = ["LAST_HIDDEN_STATE", "LOGITS", "POOLER_OUTPUT", "ModelProgram", "Program"]

LAST_HIDDEN_STATE = "last_hidden_state"  # [T, H], every packed row
POOLER_OUTPUT = "pooler_output"  # [B, H]
LOGITS = "logits"  # [B, num_labels]


class Program(Protocol):
    """A computation that any executor can run: tensors and packed tokens to named outputs.

    Programs are hashable, and equal programs compute the same, so a compiled one can be kept.
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
    """An encoder and, if asked for, its pooler or head.

    ``outputs`` is any of ``last_hidden_state``, ``pooler_output`` and ``logits``. Without the first, the last
    layer runs on the first token of each text alone: nothing else is needed.
    """

    architecture: Architecture
    config: EncoderConfig
    outputs: frozenset[str]
    taps: frozenset[str] = frozenset()

    def __hash__(self) -> int:
        return hash((self.architecture.model_type, self.outputs, self.taps))

    def __call__(self, ops: Ops[A], root: Params[A], batch: TokenBatch[A]) -> dict[str, A]:
        """Compute the outputs by name."""
        base = self.architecture.base(root)
        only_rows = self.only_rows
        x = self.architecture.encode(ops, base, self.config, batch, only_rows=only_rows)
        found: dict[str, A] = {}
        if LAST_HIDDEN_STATE in self.outputs:
            found[LAST_HIDDEN_STATE] = ops.tap(LAST_HIDDEN_STATE, x)
        if self.outputs & {POOLER_OUTPUT, LOGITS}:
            first = x if only_rows else ops.rows(x, batch.rows)
            found |= self._on_first(ops, root, base, first)
        return found

    @property
    def only_rows(self) -> bool:
        """Whether the last layer is needed for ``batch.rows`` alone."""
        last = f"layer.{self.config.num_hidden_layers - 1}"
        return LAST_HIDDEN_STATE not in self.outputs and not any(
            tap == last or tap.startswith(f"{last}.") for tap in self.taps
        )

    def _on_first(self, ops: Ops[A], root: Params[A], base: Params[A], first: A) -> dict[str, A]:
        found: dict[str, A] = {}
        if POOLER_OUTPUT in self.outputs:
            if self.architecture.pool is None:
                raise InputError(f"A model of type '{self.architecture.model_type}' has no pooler.")
            found[POOLER_OUTPUT] = self.architecture.pool(ops, base, first)
        if LOGITS in self.outputs:
            head = self.architecture.heads["sequence-classification"]
            logits = head(ops, root, base, self.config, first)
            found[LOGITS] = ops.tap(LOGITS, logits)
        return found


def require_head(architecture: Architecture, root: Params[A], head: str) -> None:
    """Raise `CheckpointError` if the checkpoint has no weights for a head, saying which heads it has."""
    if architecture.head_tensors[head] in root:
        return
    have = [name for name, tensor in architecture.head_tensors.items() if tensor in root]
    raise CheckpointError(
        f"The checkpoint has no trained {head} head (no tensor '{architecture.head_tensors[head]}'); "
        f"it has {', '.join(have) or 'no head at all'}. An untrained head would give random answers."
    )
