"""A part of the examples, where all would take too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

__all__ = ["sample"]

T = TypeVar("T")
_SEED = 1


def sample(items: Sequence[T], size: int | None) -> list[T]:
    """Draw so many items, always the same, in their order; all of them for None or if there are no more."""
    if size is None or size >= len(items):
        return list(items)
    chosen = np.random.default_rng(_SEED).permutation(len(items))[:size]
    return [items[place] for place in sorted(int(place) for place in chosen)]
