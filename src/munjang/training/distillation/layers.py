"""Layer distillation: a loss on the hidden states and the attention of the teacher's layers.

As in TinyBERT (arXiv:1909.10351, section 3.1): mean squared errors between a layer of the student and a layer
of the teacher. If the widths differ, the student's hidden states go through a trained projection. The teacher
processes the same tokens as the student, without dropout and without gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from munjang.backends.torch import TorchExecutor
from munjang.errors import InputError
from munjang.models.batch import TokenBatch
from munjang.models.program import LAST_HIDDEN_STATE
from munjang.runtime.model import Model
from munjang.training.distillation.options import LayerMatching

Batch = TokenBatch[NDArray[Any]]
_HIDDEN, _EMBEDDED = "projection.hidden_states.weight", "projection.embedded.weight"


def uniform_map(student: int, teacher: int) -> tuple[int, ...]:
    """Return for each student layer the last layer of its equal share of the teacher's layers.

    For 6 of 12 layers: ``(1, 3, 5, 7, 9, 11)`` (arXiv:1909.10351, section 4.1).
    """
    return tuple((i + 1) * teacher // student - 1 for i in range(student))


class LayerMatcher:
    """The layer distillation loss: runs the teacher and compares the student's layers with the teacher's.

    Args:
        matching: the terms of the loss and their weights.
        student: the model that is trained.
        teacher: a model with the backend ``torch`` and the same tokens.
        seed: the seed of the projection.

    Raises `InputError` for a layer map that does not match the layers, and for attention with a different
    number of heads.
    """

    def __init__(self, matching: LayerMatching, student: Model, teacher: Model, *, seed: int) -> None:
        self._matching = matching
        self._teacher = teacher
        self._widths = student.config.hidden_size, teacher.config.hidden_size
        self._rng = np.random.default_rng([seed, 13])
        self._layers = self._checked_map(student.config.num_hidden_layers, teacher.config.num_hidden_layers)
        heads = student.config.num_attention_heads, teacher.config.num_attention_heads
        if matching.attention and heads[0] != heads[1]:
            raise InputError(
                f"The student has {heads[0]} attention heads, the teacher {heads[1]}: their attention "
                "can't be compared; leave it out with attention=0."
            )
        self.taps = self._taps(range(len(self._layers)))
        self._program = teacher.program(frozenset({LAST_HIDDEN_STATE}), self._taps(self._layers))

    def _checked_map(self, student: int, teacher: int) -> tuple[int, ...]:
        chosen = self._matching.layers
        if chosen is None:
            if student > teacher:
                raise InputError(f"The student has {student} layers, the teacher only {teacher}.")
            return uniform_map(student, teacher)
        if len(chosen) != student:
            raise InputError(f"The student has {student} layers, but {len(chosen)} are mapped.")
        for layer in chosen:
            if not 0 <= layer < teacher:
                raise InputError(f"A layer is mapped to {layer}, but the teacher has 0 to {teacher - 1}.")
        return tuple(chosen)

    def _taps(self, layers: Sequence[int]) -> frozenset[str]:
        matching = self._matching
        taps = {f"layer.{i}" for i in layers} if matching.hidden_states else set()
        if matching.attention:
            taps |= {f"layer.{i}.attention.{matching.attention_values}" for i in layers}
        return frozenset(taps | {"embeddings"} if matching.embeddings else taps)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return the trained projections, ``[teacher's width, student's width]``; none if these are equal."""
        student, teacher = self._widths
        if student == teacher:
            return {}
        wanted = {_HIDDEN: self._matching.hidden_states, _EMBEDDED: self._matching.embeddings}
        bound = student**-0.5
        return {
            name: self._rng.uniform(-bound, bound, (teacher, student)).astype(np.float32)
            for name, weight in wanted.items()
            if weight
        }

    def to(self, device: torch.device) -> None:
        """Move the teacher to a device."""
        self._executor.to(device)

    @property
    def _executor(self) -> TorchExecutor:
        executor = self._teacher.runner.executor
        assert isinstance(executor, TorchExecutor)  # the teacher's backend is torch
        return executor

    def __call__(self, outputs: Mapping[str, Tensor], batch: Batch, own: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of each text, ``[B]``.

        ``outputs`` is the student's output with its `taps`, ``batch`` its input, ``own`` the projections.
        """
        with torch.no_grad():
            wanted = self._executor.forward(self._program, batch)
        is_token = batch.attention_bias[:, 0, 0, :] == 0  # [B, L]
        mask = torch.from_numpy(is_token).to(next(iter(wanted.values())).device)
        matching = self._matching
        total = torch.zeros(len(mask), device=mask.device)
        if matching.embeddings:
            student = _projected(outputs["embeddings"].float(), own.get(_EMBEDDED))
            total = total + matching.embeddings * _per_text(student, wanted["embeddings"], mask)
        for i, layer in enumerate(self._layers):
            share = 1 / len(self._layers)
            if matching.hidden_states:
                student = _projected(outputs[f"layer.{i}"].float(), own.get(_HIDDEN))
                error = _per_text(student, wanted[f"layer.{layer}"], mask)
                total = total + share * matching.hidden_states * error
            if matching.attention:
                seen = f"attention.{matching.attention_values}"
                error = _per_view(outputs[f"layer.{i}.{seen}"], wanted[f"layer.{layer}.{seen}"], mask)
                total = total + share * matching.attention * error
        return total


def _projected(x: Tensor, projection: Tensor | None) -> Tensor:
    return x if projection is None else functional.linear(x, projection)


def _per_text(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean squared error of packed rows ``[T, H]`` over each text: ``[B]``."""
    errors = (student - teacher.float()).square().mean(dim=-1)
    text = mask.nonzero()[:, 0]
    return errors.new_zeros(len(mask)).index_add(0, text, errors) / mask.sum(dim=1)


def _per_view(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean squared error of attention ``[B, heads, L, L]`` over each text's tokens: ``[B]``."""
    pairs = mask[:, :, None] & mask[:, None, :]
    errors = (student.float() - teacher.float()).square().mean(dim=1)
    return (errors * pairs).sum(dim=(1, 2)) / mask.sum(dim=1).square()
