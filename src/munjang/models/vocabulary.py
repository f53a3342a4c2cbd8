"""The tensors that have a row for every token of the vocabulary, and their resizing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADS = (
    "cls.predictions.bias",
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "lm_head.weight",
    "lm_head.bias",
    "lm_head.decoder.weight",
    "lm_head.decoder.bias",
    "generator_lm_head.weight",
    "generator_lm_head.bias",
    "vocab_projector.weight",
    "vocab_projector.bias",
)


def vocabulary_tensors(names: Mapping[str, object], words: str) -> list[str]:
    """Return the names that a checkpoint has; ``words`` is the full name of the word embeddings."""
    return [name for name in (words, *_HEADS) if name in names]


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
