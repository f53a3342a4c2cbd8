"""Splitting examples into training and held-out examples, and sampling."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from munjang.errors import InputError

Example = TypeVar("Example")
_SAMPLE_SEED = 1


def split(
    examples: Iterable[Example],
    *,
    held_out: float,
    seed: int = 0,
    key: Callable[[Example], Hashable] | None = None,
) -> tuple[list[Example], list[Example]]:
    """Split examples at random into training and held-out examples, each in input order.

    ``held_out`` is a share (a float between 0 and 1) or a number of examples (an int); at least one example
    is held out. With ``key``, examples of one key stay together (for example questions about one paragraph),
    and keys are held out until they have at least that many examples. Equal arguments give equal parts.

    Raises `InputError` for a share or a number that leaves one of the sides empty.
    """
    rows = list(examples)
    wanted = _wanted(held_out, len(rows))
    groups: dict[Hashable, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(index if key is None else key(row), []).append(index)
    indexes = list(groups.values())
    held: set[int] = set()
    for group in np.random.default_rng(seed).permutation(len(indexes)):
        if len(held) >= wanted:
            break
        held.update(indexes[int(group)])
    if len(held) == len(rows):
        raise InputError(
            f"Holding out {held_out} of {len(rows)} examples with {len(groups)} different keys leaves none "
            "to learn from; hold out fewer, or part them by another key."
        )
    return [row for index, row in enumerate(rows) if index not in held], [rows[i] for i in sorted(held)]


def _wanted(held_out: object, number: int) -> int:
    if isinstance(held_out, bool) or not isinstance(held_out, int | float):
        raise InputError(f"held_out is {held_out!r}; give a share such as 0.1, or a number of examples.")
    if number < 2:
        raise InputError(f"Too few examples to split: {number} example{'s' if number != 1 else ''}.")
    if isinstance(held_out, float):
        if not 0 < held_out < 1:
            raise InputError(f"held_out is {held_out}; a share must be between 0 and 1.")
        return min(max(1, round(held_out * number)), number - 1)
    if not 0 < held_out < number:
        raise InputError(f"held_out is {held_out}; of {number} examples, 1 to {number - 1} can be held out.")
    return held_out


def sample(items: Sequence[Example], size: int | None) -> list[Example]:
    """Return a deterministic sample of ``size`` items in order; all items for None or if there are fewer."""
    if size is None or size >= len(items):
        return list(items)
    chosen = np.random.default_rng(_SAMPLE_SEED).permutation(len(items))[:size]
    return [items[index] for index in sorted(chosen.tolist())]
