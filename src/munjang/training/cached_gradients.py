"""Gradients of a loss that looks at a whole batch, when the batch is too large to go through at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["accumulate_in_parts"]

T = TypeVar("T")


def accumulate_in_parts(
    embed: Callable[[Sequence[T]], Tensor],
    loss: Callable[[Tensor], Tensor],
    texts: Sequence[T],
    parts: Sequence[NDArray[np.intp]],
    rng: np.random.Generator,
    precision: Callable[[], AbstractContextManager[Any]],
) -> float:
    """Add the gradients of ``loss(embed(texts))`` to those that are there, part by part; give the loss.

    The vectors are computed without gradients, the loss's gradients stop at the vectors, and each part goes
    through the model once more to take them on (GradCache, arXiv:2101.06983). So that dropout is the same
    both times, torch is seeded before each part. Only one part's activations are in memory at a time.
    """
    seeds = [int(seed) for seed in rng.integers(2**62, size=len(parts))]

    def run(number: int) -> Tensor:
        torch.manual_seed(seeds[number])
        with precision():
            return embed([texts[place] for place in parts[number].tolist()])

    with torch.no_grad():
        vectors = torch.cat([run(number) for number in range(len(parts))])
    vectors.requires_grad_(True)
    total = loss(vectors)
    total.backward()  # type: ignore[no-untyped-call]
    assert vectors.grad is not None
    start = 0
    for number, part in enumerate(parts):
        run(number).backward(vectors.grad[start : start + len(part)])  # type: ignore[no-untyped-call]
        start += len(part)
    return float(total.detach())
